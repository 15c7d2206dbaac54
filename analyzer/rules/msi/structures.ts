// SPDX-License-Identifier: Apache-2.0
/** Where a device has its MSI capability, its MSI-X table and its Pending Bit Array, as its configuration space says. */
import type { ConfigSpace } from '../../../abi/pci/config-space.js';

export const MSI = 0x05;
export const MSIX = 0x11;

const TABLE_ENTRY = 16;

export interface ByteRange {
  readonly start: number;
  /** One behind the last. */
  readonly end: number;
}

export interface InBar extends ByteRange {
  readonly bar: number;
}

export interface MsixStructures {
  /** Of the capability. */
  readonly offset: number;
  readonly vectors: number;
  readonly table: InBar;
  readonly pba: InBar;
}

export interface MsiCapability extends ByteRange {
  /** Undefined: no per-vector masking. */
  readonly mask: ByteRange | undefined;
}

/** Undefined: there is none, or its registers were never seen. */
export function msixOf(config: ConfigSpace): MsixStructures | undefined {
  const found = config.capability(MSIX);
  if (found === undefined) return undefined;
  const { offset } = found;
  const control = config.read(offset + 2, 2);
  const table = config.read(offset + 4, 4);
  const pba = config.read(offset + 8, 4);
  if (control === undefined || table === undefined || pba === undefined) return undefined;
  const vectors = (control & 0x7ff) + 1;
  const place = (register: number, bytes: number): InBar => {
    const start = (register & ~7) >>> 0;
    return { bar: register & 7, start, end: start + bytes };
  };
  return {
    offset,
    vectors,
    table: place(table, vectors * TABLE_ENTRY),
    pba: place(pba, Math.ceil(vectors / 64) * 8),
  };
}

/** PCIe 5.0 §7.7.1: 10, 14, 20 or 24 bytes. */
export function msiOf(config: ConfigSpace): MsiCapability | undefined {
  const found = config.capability(MSI);
  const control = found === undefined ? undefined : config.read(found.offset + 2, 2);
  if (found === undefined || control === undefined) return undefined;
  const start = found.offset;
  const data = start + ((control & 0x80) !== 0 ? 12 : 8);
  const masked = (control & 0x100) !== 0;
  return {
    start,
    end: masked ? data + 12 : data + 2,
    mask: masked ? { start: data + 4, end: data + 8 } : undefined,
  };
}

export function overlaps(range: ByteRange, start: number, length: number): boolean {
  return start < range.end && start + Math.max(length, 1) > range.start;
}
