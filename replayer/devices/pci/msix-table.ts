// SPDX-License-Identifier: Apache-2.0
/** The MSI-X table and pending bits in a BAR (PCI 3.0 6.8.2), the same for every device. */
import { readU32, readU64 } from '../../../abi/layout.js';

const ENTRY = 16;
const VECTOR_MASKED = 1;

export interface Place {
  readonly bar: number;
  readonly offset: number;
}

export class MsixTable {
  readonly #found: Uint8Array | undefined;
  readonly #entries: Uint8Array;
  readonly #pending: Uint8Array;

  constructor(
    readonly vectors: number,
    readonly table: Place,
    readonly pba: Place,
    found: Uint8Array | undefined,
  ) {
    this.#found = found;
    this.#entries = new Uint8Array(vectors * ENTRY);
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.reset();
  }

  reset(): void {
    this.#entries.fill(0);
    this.#pending.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) this.#entries[vector * ENTRY + 12] = VECTOR_MASKED;
    if (this.#found !== undefined) this.#entries.set(this.#found.subarray(0, this.#entries.length));
  }

  /** The bytes that hold this offset of this BAR: an entry's, a pending word's, or none of ours. */
  at(
    bar: number,
    offset: number,
  ): { readonly bytes: Uint8Array; readonly at: number; readonly writable: boolean } | undefined {
    if (
      bar === this.table.bar &&
      offset >= this.table.offset &&
      offset < this.table.offset + this.#entries.length
    ) {
      return { bytes: this.#entries, at: offset - this.table.offset, writable: true };
    }
    if (
      bar === this.pba.bar &&
      offset >= this.pba.offset &&
      offset < this.pba.offset + this.#pending.length
    ) {
      return { bytes: this.#pending, at: offset - this.pba.offset, writable: false };
    }
    return undefined;
  }

  masked(vector: number): boolean {
    return ((this.#entries[vector * ENTRY + 12] ?? VECTOR_MASKED) & VECTOR_MASKED) !== 0;
  }

  message(vector: number): { readonly address: bigint; readonly data: number } {
    const at = vector * ENTRY;
    return { address: readU64(this.#entries, at), data: readU32(this.#entries, at + 8) };
  }

  setPending(vector: number, pending: boolean): void {
    const bit = 1 << (vector & 7);
    const byte = this.#pending[vector >>> 3] as number;
    this.#pending[vector >>> 3] = pending ? byte | bit : byte & ~bit;
  }

  isPending(vector: number): boolean {
    return ((this.#pending[vector >>> 3] as number) & (1 << (vector & 7))) !== 0;
  }
}
