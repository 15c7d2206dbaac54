// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../abi/text.js';
import type { Change } from '../../session/change.js';
import { Intervals } from '../../session/intervals.js';

interface Named {
  readonly start: bigint;
  readonly length: bigint;
  /** How many were made before it. */
  readonly number: number;
  /** Of its start, in the mapping as it was made. */
  readonly offset: bigint;
}

const part = (whole: Named, start: bigint, length: bigint): Named => ({
  ...whole,
  start,
  length,
  offset: whole.offset + (start - whole.start),
});

/** Addresses for DMA by mapping and offset: a driver may choose other IOVAs each time. */
export class DmaNames {
  readonly #mappings = new Intervals<Named>();
  #made = 0;

  apply(change: Change): void {
    if (change.type === 'dma-map')
      this.#mappings.add(
        { start: change.start, length: change.length, number: this.#made++, offset: 0n },
        part,
      );
    else if (change.type === 'dma-unmap') this.#mappings.remove(change.start, change.length, part);
  }

  /** Undefined: no address of a mapping. Numbers below a page are numbers. */
  name(value: bigint): string | undefined {
    if (value < 4096n) return undefined;
    const found = this.#mappings.at(value);
    return found === undefined
      ? undefined
      : `mapping ${found.number} + ${hex(found.offset + (value - found.start))}`;
  }
}
