// SPDX-License-Identifier: Apache-2.0
const ALL_BYTES = 0xff;

interface Held {
  readonly address: bigint;
  /** Which of its bytes were written since it was last whole. */
  readonly written: number;
}

export interface StoredAddress {
  readonly address: bigint;
  /** Every byte of it was written since it was last whole: it is no half-written one. */
  readonly whole: boolean;
}

/** Bus addresses that are written in one piece, or in a lower and an upper half, in any order. */
export class AddressRegisters {
  readonly #held = new Map<string, Held>();

  /** The address after the store of `width` bytes at byte `within` of it. */
  store(name: string, within: number, width: number, value: bigint): StoredAddress {
    const shift = BigInt(within * 8);
    const mask = ((1n << BigInt(width * 8)) - 1n) << shift;
    const before = this.#held.get(name) ?? { address: 0n, written: 0 };
    const address = (before.address & ~mask) | ((value << shift) & mask);
    const written = before.written | ((((1 << width) - 1) << within) & ALL_BYTES);
    const whole = written === ALL_BYTES;
    this.#held.set(name, { address, written: whole ? 0 : written });
    return { address, whole };
  }
}
