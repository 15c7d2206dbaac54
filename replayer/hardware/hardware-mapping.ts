// SPDX-License-Identifier: Apache-2.0
/** Registers of a real device in the replay's memory: each access is made once, with its own width and kind. */
import type { NativeAccess } from '../native/access.js';
import type { AccessWidth, LockedUpdate, TargetMapping, WideOutcome } from '../replay/target.js';

const WIDTHS = [64, 32, 16, 8, 4, 2, 1] as const;
const LINE = 64;

export class HardwareMapping implements TargetMapping {
  readonly #access: NativeAccess;
  readonly #address: bigint;
  readonly #unmap: (mapping: HardwareMapping) => void;

  constructor(access: NativeAccess, address: bigint, unmap: (mapping: HardwareMapping) => void) {
    this.#access = access;
    this.#address = address;
    this.#unmap = unmap;
  }

  load(offset: number, width: AccessWidth): bigint | undefined {
    return this.#access.load(this.#address + BigInt(offset), width);
  }

  store(offset: number, width: AccessWidth, value: bigint): boolean {
    return this.#access.store(this.#address + BigInt(offset), width, value);
  }

  loadWide(offset: number, into: Uint8Array): WideOutcome {
    return this.#pieces('load', into, (at, width) =>
      this.#access.loadBytes(this.#address + BigInt(offset + at), into.subarray(at, at + width)),
    );
  }

  storeWide(offset: number, from: Uint8Array, line: boolean): WideOutcome {
    const address = this.#address + BigInt(offset);
    if (line) {
      // It is refused where it is not aligned.
      if (from.length !== LINE || address % BigInt(LINE) !== 0n || !this.#access.can('store-line', LINE))
        return 'none';
      return this.#access.storeBytes(address, from, 'store-line') ? 'whole' : 'fault';
    }
    return this.#pieces('store', from, (at, width) =>
      this.#access.storeBytes(address + BigInt(at), from.subarray(at, at + width), 'store'),
    );
  }

  /** In one where the processor can, otherwise as few as it can. */
  #pieces(
    kind: 'load' | 'store',
    bytes: Uint8Array,
    make: (at: number, width: number) => boolean,
  ): WideOutcome {
    let count = 0;
    for (let at = 0; at < bytes.length; count++) {
      const width = WIDTHS.find((one) => one <= bytes.length - at && this.#access.can(kind, one)) ?? 1;
      if (!make(at, width)) return 'fault';
      at += width;
    }
    return count === 1 ? 'whole' : 'pieces';
  }

  update(
    offset: number,
    width: AccessWidth,
    { kind, operand, expected }: LockedUpdate,
  ): bigint | null | undefined {
    return this.#access.update(this.#address + BigInt(offset), width, kind, operand, expected);
  }

  unmap(): void {
    this.#unmap(this);
  }
}
