// SPDX-License-Identifier: Apache-2.0
/** A simulated device's registers: accesses come to it as the shim cuts those of a driver (simulated.c). */
import { processorPiece } from '../kernel/pci/bar-access.js';
import type { Mapping } from '../kernel/process.js';
import { littleEndian, littleEndianNumber } from './bytes.js';
import { updatedValue } from './locked-update.js';
import type { AccessWidth, LockedUpdate, TargetMapping, WideOutcome } from './target.js';

const WORD = 8;

export class SimulatedMapping implements TargetMapping {
  readonly #mapping: Mapping;

  constructor(mapping: Mapping) {
    this.#mapping = mapping;
  }

  load(offset: number, width: AccessWidth): bigint | undefined {
    if ((offset % WORD) + width <= WORD) return this.#mapping.load(offset, width);
    const bytes = new Uint8Array(width);
    return this.loadWide(offset, bytes) === 'fault' ? undefined : littleEndianNumber(bytes);
  }

  store(offset: number, width: AccessWidth, value: bigint): boolean {
    if ((offset % WORD) + width <= WORD) return this.#mapping.store(offset, width, value);
    return this.storeWide(offset, littleEndian(value, width)) !== 'fault';
  }

  loadWide(offset: number, into: Uint8Array): WideOutcome {
    for (let done = 0; done < into.length; ) {
      const width = processorPiece(offset + done, into.length - done);
      const value = this.#mapping.load(offset + done, width);
      if (value === undefined) return 'fault';
      into.set(littleEndian(value, width), done);
      done += width;
    }
    return 'whole';
  }

  storeWide(offset: number, from: Uint8Array): WideOutcome {
    for (let done = 0; done < from.length; ) {
      const width = processorPiece(offset + done, from.length - done);
      const value = littleEndianNumber(from.subarray(done, done + width));
      if (!this.#mapping.store(offset + done, width, value)) return 'fault';
      done += width;
    }
    return 'whole';
  }

  /** The shim lets the instruction work on what it loaded, and stores what that left. */
  update(offset: number, width: AccessWidth, update: LockedUpdate): bigint | undefined {
    const old = this.load(offset, width);
    if (old === undefined) return undefined;
    return this.store(offset, width, updatedValue(update, old, width)) ? old : undefined;
  }

  unmap(): void {
    this.#mapping.unmap();
  }
}
