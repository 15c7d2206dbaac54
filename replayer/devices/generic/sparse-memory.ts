// SPDX-License-Identifier: Apache-2.0
/** A BAR full of memory of which only the touched pages exist. */
import type { Width } from '../device.js';

const PAGE = 4096;

export class SparseMemory {
  readonly #pages = new Map<number, Uint8Array>();

  read(offset: number, width: Width): bigint {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#byte(offset + i));
    return value;
  }

  write(offset: number, width: Width, value: bigint): void {
    for (let i = 0; i < width; i++) {
      const at = offset + i;
      const number = Math.floor(at / PAGE);
      let page = this.#pages.get(number);
      if (page === undefined) {
        page = new Uint8Array(PAGE);
        this.#pages.set(number, page);
      }
      page[at % PAGE] = Number((value >> BigInt(8 * i)) & 0xffn);
    }
  }

  clear(): void {
    this.#pages.clear();
  }

  #byte(at: number): number {
    return this.#pages.get(Math.floor(at / PAGE))?.[at % PAGE] ?? 0;
  }
}
