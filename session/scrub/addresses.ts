// SPDX-License-Identifier: Apache-2.0
/** Where the driver's memory lay: found in every place that can hold such an address, and moved elsewhere. */
import type { Ioctl } from '../../abi/ioctl.js';
import { decode, type Layout, readU32, readU64 } from '../../abi/layout.js';
import { DEVICE_FEATURE, featureLayout } from '../../abi/vfio/feature.js';
import {
  BITMAP,
  DIRTY_BITMAP,
  DIRTY_BITMAP_GET,
  DMA_UNMAP,
  DMA_UNMAP_GET_DIRTY_BITMAP,
} from '../../abi/vfio/type1.js';
import { type Event, EventKind, PayloadRole } from '../../traces/model.js';
import type { Amended } from '../copy-events.js';

const GIB_BITS = 30n;
const LAST = (1n << 64n) - 1n;
/** Below vm.mmap_min_addr nothing is mapped: a small number in the place of an address. */
const LEAST = 0x1_0000n;
const GET_BITMAP = 4;
const MERGE_LEAST = 1 << 16;

/** An address of the process, and how many bytes from there on it stands for; gives what is to stand there. */
export type Visit = (address: bigint, length: bigint) => bigint;

/**
 * Addresses keep their low 30 bits, and so every alignment up to a huge page of 1 GiB; neighbours stay neighbours, order
 * stays order. What is above was chosen by the kernel at random (ASLR) and becomes small numbers. The first GiB,
 * where programs lie that are not position independent, stays.
 */
export class AddressMap {
  /** GiB of memory that hang together: [first, last], and where they go. */
  #spans: { readonly first: bigint; last: bigint; to: bigint }[] = [];
  #isSettled = true;
  #mergeAt = MERGE_LEAST;

  see(address: bigint, length: bigint): void {
    if (address < LEAST) return;
    const end = address + (length > 0n ? length - 1n : 0n);
    const first = address >> GIB_BITS;
    const last = (end > LAST ? LAST : end) >> GIB_BITS;
    const known = this.#spans.at(-1);
    if (known !== undefined && known.first <= first && last <= known.last) return;
    this.#spans.push({ first, last, to: 0n });
    this.#isSettled = false;
    // A hostile trace has addresses everywhere.
    if (this.#spans.length < this.#mergeAt) return;
    this.#merge();
    this.#mergeAt = Math.max(MERGE_LEAST, 2 * this.#spans.length);
  }

  /** The same address for the same address; one that was never seen is nobody's, and becomes 0. */
  move(address: bigint): bigint {
    if (address < LEAST) return address;
    const span = this.#spanOf(address >> GIB_BITS);
    if (span === undefined) return 0n;
    return ((span.to + (address >> GIB_BITS) - span.first) << GIB_BITS) | (address & ((1n << GIB_BITS) - 1n));
  }

  /** Whether the process had something there, and it now has another address. */
  isGone(address: bigint): boolean {
    return (
      address >= LEAST && this.#spanOf(address >> GIB_BITS) !== undefined && this.move(address) !== address
    );
  }

  #spanOf(gib: bigint) {
    this.#settle();
    let low = 0;
    let high = this.#spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#spans[middle]?.last ?? 0n) < gib) low = middle + 1;
      else high = middle;
    }
    const span = this.#spans[low];
    return span !== undefined && span.first <= gib ? span : undefined;
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#merge();
    // Where nothing was: an address that was there is then told from one that is.
    let next = 1n;
    let behind = 0;
    for (const span of this.#spans) {
      const length = span.last - span.first;
      if (span.first === 0n) next = length + 2n;
      for (let taken = this.#spans[behind]; taken !== undefined; taken = this.#spans[behind]) {
        if (taken.last < next) behind++;
        else if (taken.first <= next + length) next = taken.last + 2n;
        else break;
      }
      span.to = span.first === 0n ? 0n : next;
      if (span.first !== 0n) next += length + 2n;
    }
    this.#isSettled = true;
  }

  #merge(): void {
    const merged: { first: bigint; last: bigint; to: bigint }[] = [];
    for (const span of this.#spans.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
      const before = merged.at(-1);
      if (before === undefined || span.first > before.last + 1n) merged.push(span);
      else if (span.last > before.last) before.last = span.last;
    }
    this.#spans = merged;
  }
}

/** An event with its addresses as `visit` gives them. The payloads' bytes are changed in place. */
export function visitAddresses(event: Event, ioctl: Ioctl | undefined, visit: Visit): Amended {
  const { kind, offset, value, result, errno } = event;
  const answered = () => (errno === 0 ? BigInt.asIntN(64, visit(BigInt.asUintN(64, result), value)) : result);
  const payloads = event.payloads.map((payload) => ({
    ...payload,
    address: visit(payload.address, BigInt(payload.data.length)),
  }));
  switch (kind) {
    case EventKind.MMAP:
      visitNumber(event, 0, visit);
      return { result: answered(), payloads };
    case EventKind.MREMAP:
      visitNumber(event, 8, visit);
      return { offset: visit(offset, value), result: answered(), payloads };
    case EventKind.MUNMAP:
    case EventKind.MPROTECT:
    case EventKind.MADVISE:
      return { offset: visit(offset, value), payloads };
    case EventKind.SIGNAL:
    case EventKind.SITE:
      return { offset: visit(offset, 1n), payloads };
    case EventKind.IOCTL:
      return { value: ioctlArgument(event, ioctl, visit), payloads };
    default:
      return { payloads };
  }
}

function put(data: Uint8Array, at: number, value: bigint): void {
  new DataView(data.buffer, data.byteOffset, data.length).setBigUint64(at, value, true);
}

/** A u64 address at this place of IN. */
function visitNumber(event: Event, at: number, visit: Visit): void {
  for (const { role, data } of event.payloads)
    if (role === PayloadRole.IN && at + 8 <= data.length) put(data, at, visit(readU64(data, at), 1n));
}

/** The argument; the pointers in the structure that it leads to are changed in place. */
function ioctlArgument(event: Event, ioctl: Ioctl | undefined, visit: Visit): bigint {
  const { argument } = ioctl ?? {};
  if (ioctl !== undefined && argument?.kind === 'struct')
    for (const { role, data } of event.payloads)
      if (role === PayloadRole.IN || role === PayloadRole.OUT)
        for (const [layout, base] of layoutsIn(ioctl.name, argument.layout, data))
          visitPointers(layout, data, base, visit);
  return argument?.kind === 'value' ? event.value : visit(event.value, 1n);
}

/** The structures in an argument, and where they begin. */
function layoutsIn(name: string, layout: Layout, data: Uint8Array): readonly (readonly [Layout, number])[] {
  const flags = data.length >= 8 ? readU32(data, 4) : 0;
  const found: (readonly [Layout, number])[] = [[layout, 0]];
  if (name === 'VFIO_IOMMU_UNMAP_DMA' && (flags & DMA_UNMAP_GET_DIRTY_BITMAP) !== 0)
    found.push([BITMAP, DMA_UNMAP.size]);
  if (name === 'VFIO_IOMMU_DIRTY_PAGES' && (flags & GET_BITMAP) !== 0)
    found.push([DIRTY_BITMAP_GET, DIRTY_BITMAP.size]);
  const feature = name === 'VFIO_DEVICE_FEATURE' ? featureLayout(flags & 0xffff) : undefined;
  if (feature !== undefined) found.push([feature, DEVICE_FEATURE.size]);
  return found;
}

function visitPointers(layout: Layout, data: Uint8Array, base: number, visit: Visit): void {
  const values: Readonly<Record<string, number | bigint | undefined>> = decode(layout, data, base);
  const length = BigInt(values['size'] ?? values['length'] ?? values['memory_size'] ?? 1n);
  for (const [name, field] of Object.entries(layout.fields)) {
    const value = values[name];
    if (field.pointer !== true || typeof value !== 'bigint') continue;
    put(data, base + field.offset, visit(value, length));
  }
}
