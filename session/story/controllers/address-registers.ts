// SPDX-License-Identifier: Apache-2.0
/** Bus addresses that are written in one piece, or in a lower and an upper half, in any order. */
export class AddressRegisters {
  readonly #held = new Map<string, bigint>();

  /** The whole address after the store of `width` bytes at byte `within` of it. */
  store(name: string, within: number, width: number, value: bigint): bigint {
    const shift = BigInt(within * 8);
    const mask = ((1n << BigInt(width * 8)) - 1n) << shift;
    const held = ((this.#held.get(name) ?? 0n) & ~mask) | ((value << shift) & mask);
    this.#held.set(name, held);
    return held;
  }
}
