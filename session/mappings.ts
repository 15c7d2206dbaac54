// SPDX-License-Identifier: Apache-2.0
import { Intervals } from './intervals.js';

/** A region of a device in a process's memory. */
export interface MappedRegion {
  readonly process: number;
  readonly start: bigint;
  readonly length: bigint;
  readonly object: number;
  readonly region: number;
  /** Of the mapping's first byte, in the region. */
  readonly offset: bigint;
}

const part = (whole: MappedRegion, start: bigint, length: bigint): MappedRegion => ({
  ...whole,
  start,
  length,
  offset: whole.offset + (start - whole.start),
});

export class Mappings {
  readonly #byProcess = new Map<number, Intervals<MappedRegion>>();

  map(mapping: MappedRegion): void {
    this.#of(mapping.process).add(mapping, part);
  }

  unmap(process: number, start: bigint, length: bigint): readonly MappedRegion[] {
    return this.#byProcess.get(process)?.remove(start, length, part) ?? [];
  }

  at(process: number, address: bigint): MappedRegion | undefined {
    return this.#byProcess.get(process)?.at(address);
  }

  within(process: number, start: bigint, length: bigint): readonly MappedRegion[] {
    return this.#byProcess.get(process)?.within(start, length) ?? [];
  }

  #of(process: number): Intervals<MappedRegion> {
    let mappings = this.#byProcess.get(process);
    if (mappings === undefined) {
      mappings = new Intervals<MappedRegion>();
      this.#byProcess.set(process, mappings);
    }
    return mappings;
  }
}
