// SPDX-License-Identifier: Apache-2.0
/** A process's memory of which only the touched pages exist: a recorded driver may map terabytes for DMA. */
import type { Memory } from '../kernel/process.js';

const PAGE = 4096;
const PAGE_BITS = 12n;

export class PageMemory implements Memory {
  readonly #pages = new Map<bigint, Uint8Array>();
  /** Start to length. */
  readonly #areas = new Map<bigint, bigint>();
  /** Starts in order, for the search. */
  #starts: bigint[] = [];

  addArea(start: bigint, length: bigint): void {
    this.#areas.set(start, length);
    // Addresses are given out upwards.
    this.#starts.push(start);
  }

  removeArea(start: bigint): void {
    const length = this.#areas.get(start);
    if (length === undefined) return;
    this.#areas.delete(start);
    this.#starts.splice(this.#starts.indexOf(start), 1);
    if (this.#pages.size < Number(length >> PAGE_BITS)) {
      const first = start >> PAGE_BITS;
      const last = (start + length - 1n) >> PAGE_BITS;
      for (const page of [...this.#pages.keys()]) if (page >= first && page <= last) this.#pages.delete(page);
    } else {
      for (let page = start >> PAGE_BITS; page << PAGE_BITS < start + length; page++)
        this.#pages.delete(page);
    }
  }

  holds(address: bigint, length: bigint): boolean {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as bigint) <= address) low = middle + 1;
      else high = middle;
    }
    const start = this.#starts[low - 1];
    return start !== undefined && address + length <= start + (this.#areas.get(start) ?? 0n);
  }

  read(address: bigint, into: Uint8Array): boolean {
    return this.#transfer(address, into, false);
  }

  write(address: bigint, from: Uint8Array): boolean {
    return this.#transfer(address, from, true);
  }

  #transfer(address: bigint, bytes: Uint8Array, write: boolean): boolean {
    if (!this.holds(address, BigInt(bytes.length))) return false;
    for (let done = 0; done < bytes.length; ) {
      const at = address + BigInt(done);
      const within = Number(at & 0xfffn);
      const length = Math.min(PAGE - within, bytes.length - done);
      const piece = bytes.subarray(done, done + length);
      const page = this.#pages.get(at >> PAGE_BITS);
      if (write) this.#page(at >> PAGE_BITS, page).set(piece, within);
      else if (page === undefined) piece.fill(0);
      else piece.set(page.subarray(within, within + length));
      done += length;
    }
    return true;
  }

  #page(number: bigint, known: Uint8Array | undefined): Uint8Array {
    if (known !== undefined) return known;
    const page = new Uint8Array(PAGE);
    this.#pages.set(number, page);
    return page;
  }
}
