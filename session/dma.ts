// SPDX-License-Identifier: Apache-2.0
import { Intervals } from './intervals.js';

/** One DMA mapping: IOVA [start, start + length) leads to the process's memory at `address`. */
export interface DmaMapping {
  readonly start: bigint;
  readonly length: bigint;
  readonly address: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
}

const part = (whole: DmaMapping, start: bigint, length: bigint): DmaMapping => ({
  ...whole,
  start,
  length,
  address: whole.address + (start - whole.start),
});

/** Mappings by address space: a container, an iommufd's IOAS, or the uiommu domain of a 2010 device. */
export class DmaMaps {
  readonly #spaces = new Map<string, Intervals<DmaMapping>>();

  /** `ioas` is 0 for a container. */
  space(object: number, ioas = 0): Intervals<DmaMapping> {
    const key = `${object}/${ioas}`;
    let space = this.#spaces.get(key);
    if (space === undefined) {
      space = new Intervals<DmaMapping>();
      this.#spaces.set(key, space);
    }
    return space;
  }

  map(object: number, ioas: number, mapping: DmaMapping): void {
    this.space(object, ioas).add(mapping, part);
  }

  /** What was mapped there. */
  unmap(object: number, ioas: number, start: bigint, length: bigint): readonly DmaMapping[] {
    return this.space(object, ioas).remove(start, length, part);
  }

  unmapAll(object: number, ioas: number): readonly DmaMapping[] {
    const space = this.space(object, ioas);
    const all = [...space];
    space.clear();
    return all;
  }
}
