// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_IOMMU_DIRTY_PAGES and the bitmap of an unmap. The IOMMU does not know what a device wrote: every mapped page
 * counts as dirty (update_user_bitmap, vfio_iova_dirty_bitmap).
 */
import { decode } from '../../../abi/layout.js';
import {
  BITMAP,
  DIRTY_BITMAP,
  DIRTY_BITMAP_GET,
  DIRTY_PAGES_FLAGS,
  DMA_UNMAP,
} from '../../../abi/vfio/type1.js';
import { EACCES, EFAULT, EINVAL } from '../errno.js';
import { LAST_ADDRESS, type Range } from '../iommu/ranges.js';
import type { Call, Memory } from '../process.js';
import { bytesIn, bytesOut, structIn } from '../user-memory.js';

const PAGES_MAX = 2n ** 31n - 1n;
export const DIRTY_BITMAP_BYTES_MAX = 2 ** 28;
/** The highest address of a process on x86-64 (access_ok). */
const USER_LAST = 2n ** 47n;
const CHUNK = 65536;

export interface DirtyPages {
  readonly pageSize: bigint;
  readonly address: bigint;
}

function bitmapBytes(pages: bigint): bigint {
  return ((pages + 63n) / 64n) * 8n;
}

/** verify_bitmap_size() after the page size has been looked at; undefined when it can't be right. */
function checkedBitmap(
  pgsize: bigint,
  bytes: bigint,
  address: bigint,
  range: bigint,
): DirtyPages | undefined {
  if (pgsize === 0n || address + bytes > USER_LAST) return undefined;
  const pages = range / (pgsize & -pgsize);
  if (pages === 0n || pages > PAGES_MAX || bytes === 0n || bytes > BigInt(DIRTY_BITMAP_BYTES_MAX))
    return undefined;
  return bytes < bitmapBytes(pages) ? undefined : { pageSize: pgsize, address };
}

/** The struct vfio_bitmap behind an unmap that wants one, or an errno. */
export function unmapBitmap(call: Call, argsz: number, range: bigint): DirtyPages | number {
  if (argsz < DMA_UNMAP.size + BITMAP.size) return -EINVAL;
  const bytes = bytesIn(call.memory, call.argument + BigInt(DMA_UNMAP.size), BITMAP.size);
  if (bytes === undefined) return -EFAULT;
  const { pgsize = 0n, bitmap_size = 0n, data = 0n } = decode(BITMAP, bytes);
  return checkedBitmap(pgsize, bitmap_size, data, range) ?? -EINVAL;
}

/** Sets the bits of one mapping; bits before it in its first word are kept. False is EFAULT. */
export function writeDirtyBits(memory: Memory, bitmap: DirtyPages, base: bigint, mapping: Range): boolean {
  const first = (mapping.start - base) / bitmap.pageSize;
  const count = (mapping.last - mapping.start + 1n) / bitmap.pageSize;
  const shift = Number(first % 64n);
  let at = bitmap.address + (first / 64n) * 8n;
  const kept = new Uint8Array(8);
  if (shift !== 0 && !memory.read(at, kept)) return false;
  let bits = BigInt(shift) + count;
  let chunkStart = true;
  while (bits > 0n) {
    const words = (bits + 63n) / 64n;
    const length = words * 8n > BigInt(CHUNK) ? CHUNK : Number(words * 8n);
    const chunk = new Uint8Array(length);
    const set = bits > BigInt(length * 8) ? length * 8 : Number(bits);
    chunk.fill(0xff, 0, set >>> 3);
    if (set % 8 !== 0) chunk[set >>> 3] = (1 << (set % 8)) - 1;
    if (chunkStart) keepLowBits(chunk, kept, shift);
    chunkStart = false;
    if (!bytesOut(memory, at, chunk)) return false;
    at += BigInt(length);
    bits -= BigInt(length * 8);
  }
  return true;
}

function keepLowBits(chunk: Uint8Array, kept: Uint8Array, bits: number): void {
  for (let bit = 0; bit < bits; bit++) {
    const mask = 1 << (bit & 7);
    const byte = bit >>> 3;
    chunk[byte] = ((chunk[byte] as number) & ~mask) | ((kept[byte] as number) & mask);
  }
}

export interface DirtyState {
  readonly v2: boolean;
  readonly pageSize: bigint;
  readonly tracking: boolean;
  setTracking(on: boolean): void;
  cuts(range: Range): boolean;
  beginningIn(range: Range): readonly Range[];
}

export function dirtyPages(call: Call, state: DirtyState): number {
  if (!state.v2) return -EACCES;
  const header = structIn(call, DIRTY_BITMAP);
  if (header === undefined) return -EFAULT;
  const { argsz, flags } = header;
  const { START, STOP, GET_BITMAP } = DIRTY_PAGES_FLAGS.bits;
  if (argsz < DIRTY_BITMAP.size || (flags & ~(START | STOP | GET_BITMAP)) !== 0) return -EINVAL;
  switch (flags) {
    case START:
      state.setTracking(true);
      return 0;
    case STOP:
      state.setTracking(false);
      return 0;
    case GET_BITMAP:
      return getBitmap(call, argsz, state);
    default:
      return -EINVAL;
  }
}

function getBitmap(call: Call, argsz: number, state: DirtyState): number {
  if (argsz - DIRTY_BITMAP.size < DIRTY_BITMAP_GET.size) return -EINVAL;
  const bytes = bytesIn(call.memory, call.argument + BigInt(DIRTY_BITMAP.size), DIRTY_BITMAP_GET.size);
  if (bytes === undefined) return -EFAULT;
  const { iova = 0n, range = 0n, pgsize = 0n, bitmap_size = 0n, data = 0n } = decode(DIRTY_BITMAP_GET, bytes);
  if (iova + range > LAST_ADDRESS) return -EINVAL;
  const bitmap = checkedBitmap(pgsize, bitmap_size, data, range);
  const mask = state.pageSize - 1n;
  if (bitmap === undefined || pgsize !== state.pageSize || (iova & mask) !== 0n || (range & mask) !== 0n)
    return -EINVAL;
  const wanted = { start: iova, last: iova + range - 1n };
  if (!state.tracking || state.cuts(wanted)) return -EINVAL;
  for (const mapping of state.beginningIn(wanted))
    if (!writeDirtyBits(call.memory, bitmap, iova, mapping)) return -EFAULT;
  return 0;
}
