// SPDX-License-Identifier: Apache-2.0
/** Registers that the replay has not mapped: reads and writes of the descriptor, which the kernel cuts as it likes. */
import { littleEndian, littleEndianNumber } from './bytes.js';
import { updatedValue } from './locked-update.js';
import type { AccessWidth, LockedUpdate, Target, TargetMapping, WideOutcome } from './target.js';

export class ByDescriptor implements TargetMapping {
  readonly #target: Target;
  readonly #fd: number;
  /** Of the region, which may be learnt later. */
  readonly #base: () => bigint;

  constructor(target: Target, fd: number, base: () => bigint) {
    this.#target = target;
    this.#fd = fd;
    this.#base = base;
  }

  load(offset: number, width: AccessWidth): bigint | undefined {
    const bytes = new Uint8Array(width);
    return this.loadWide(offset, bytes) === 'fault' ? undefined : littleEndianNumber(bytes);
  }

  store(offset: number, width: AccessWidth, value: bigint): boolean {
    return this.storeWide(offset, littleEndian(value, width)) !== 'fault';
  }

  loadWide(offset: number, into: Uint8Array): WideOutcome {
    const got = this.#target.pread(this.#fd, into, this.#base() + BigInt(offset));
    return got === into.length ? 'pieces' : 'fault';
  }

  storeWide(offset: number, from: Uint8Array): WideOutcome {
    const done = this.#target.pwrite(this.#fd, from, this.#base() + BigInt(offset));
    return done === from.length ? 'pieces' : 'fault';
  }

  update(offset: number, width: AccessWidth, update: LockedUpdate): bigint | undefined {
    const old = this.load(offset, width);
    if (old === undefined) return undefined;
    return this.store(offset, width, updatedValue(update, old, width)) ? old : undefined;
  }

  unmap(): void {}
}
