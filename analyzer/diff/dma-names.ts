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

const HALF_BITS = 32n;
const HALF = (1n << HALF_BITS) - 1n;
/** Of so many different upper halves at most a lower one is looked for. */
const HIGHS_MOST = 16;

/** Addresses for DMA by mapping and offset: a driver may choose other IOVAs each time. */
export class DmaNames {
  readonly #mappings = new Intervals<Named>();
  /** Upper halves of addresses that are or were mapped. */
  readonly #highs = new Set<bigint>();
  #made = 0;

  apply(change: Change): void {
    if (change.type === 'dma-map') {
      const { start, length } = change;
      this.#mappings.add({ start, length, number: this.#made++, offset: 0n }, part);
      for (const address of [start, start + length - 1n])
        if (this.#highs.size < HIGHS_MOST) this.#highs.add(address >> HALF_BITS);
    } else if (change.type === 'dma-unmap') this.#mappings.remove(change.start, change.length, part);
  }

  /**
   * `mapping 3 + 0x1000`, also of a register that has one half of an address. Undefined: no address of a mapping. Numbers
   * below a page are numbers.
   */
  name(value: bigint, width: number): string | undefined {
    if (width !== 4) return this.#named(value);
    // The upper half may be a small number.
    if (value !== 0n && this.#highs.has(value)) return 'the upper half of an address';
    const half = value & HALF;
    for (const high of this.#highs) {
      const name = this.#named((high << HALF_BITS) | half, half);
      if (name !== undefined) return name;
    }
    return undefined;
  }

  #named(address: bigint, number = address): string | undefined {
    if (number < 4096n) return undefined;
    const found = this.#mappings.at(address);
    return found === undefined
      ? undefined
      : `mapping ${found.number} + ${hex(found.offset + (address - found.start))}`;
  }
}
