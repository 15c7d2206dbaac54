// SPDX-License-Identifier: Apache-2.0
/** Accesses of any alignment and length to a BAR, as the processor and the kernel's copying loops cut them. */
import type { Width } from '../../devices/device.js';
import type { PciFunction } from '../../devices/pci/function.js';

/** The widest aligned piece that may be made of what is left. */
export function pieceWidth(at: number, count: number, widest: Width): Width {
  if (count >= 8 && at % 8 === 0 && widest === 8) return 8;
  if (count >= 4 && at % 4 === 0) return 4;
  return count >= 2 && at % 2 === 0 ? 2 : 1;
}

/** As many bytes as one access of a processor makes: 1, 2, 4 or 8, not across 8 (simulated.c: piece_of). */
export function processorPiece(at: number, count: number): Width {
  let width: Width = 8;
  const most = Math.min(count, 8 - (at % 8));
  while (width > most) width = (width / 2) as Width;
  return width;
}

/** One piece between a BAR and bytes[done]. */
export function transferPiece(
  fn: PciFunction,
  bar: number,
  at: number,
  bytes: Uint8Array,
  done: number,
  width: Width,
  write: boolean,
): void {
  if (write) {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[done + i] as number);
    fn.barWrite(bar, at, width, value);
    return;
  }
  const value = fn.barRead(bar, at, width);
  for (let i = 0; i < width; i++) bytes[done + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** A load through a mapping; an unaligned one is one of bytes. The rest of a page that the BAR does not fill reads ones. */
export function loadBar(fn: PciFunction, bar: number, at: number, width: Width): bigint {
  if (at % width === 0)
    return at + width > sizeOf(fn, bar) ? (1n << BigInt(8 * width)) - 1n : fn.barRead(bar, at, width);
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | loadBar(fn, bar, at + i, 1);
  return value;
}

export function storeBar(fn: PciFunction, bar: number, at: number, width: Width, value: bigint): void {
  if (at + width > sizeOf(fn, bar)) return;
  if (at % width === 0) fn.barWrite(bar, at, width, value);
  else for (let i = 0; i < width; i++) fn.barWrite(bar, at + i, 1, (value >> BigInt(8 * i)) & 0xffn);
}

function sizeOf(fn: PciFunction, bar: number): number {
  return fn.pci.bars[bar]?.size ?? 0;
}
