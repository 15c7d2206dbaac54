// SPDX-License-Identifier: Apache-2.0
/** Random numbers that are the same for the same seed (xorshift128). */

export class Random {
  #a: number;
  #b = 0x6c07_8965;
  #c = 0x2545_f491;
  #d = 0x9e37_79b9;

  constructor(seed: number) {
    this.#a = seed | 1;
    for (let i = 0; i < 16; i++) this.#next();
  }

  #next(): number {
    let t = this.#a;
    t ^= t << 11;
    t ^= t >>> 8;
    this.#a = this.#b;
    this.#b = this.#c;
    this.#c = this.#d;
    this.#d = this.#d ^ (this.#d >>> 19) ^ t;
    return this.#d >>> 0;
  }

  /** 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.#next() / 0x1_0000_0000) * bound);
  }

  chance(probability: number): boolean {
    return this.#next() < probability * 0x1_0000_0000;
  }

  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
