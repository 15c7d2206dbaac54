// SPDX-License-Identifier: Apache-2.0
/**
 * Where the recorded driver's DMA memory is in the driver of today: found by the mapping and the offset in it, since
 * IOVAs may be others each time. A mapping is told by its size and its place among those of that size.
 */
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { DmaWindow } from '../device.js';
import { littleEndian } from './accesses.js';
import { LiveWindows, type RecordedMap, RecordedMaps } from './mappings.js';

interface HeldMap extends RecordedMap {
  /** What it held in the recording, by page; zeroes where there is none. */
  readonly pages: Map<number, Uint8Array>;
  /** Pages in which the driver keeps pointers: a heap, with all that a program has there. */
  readonly own: Set<number>;
}

export interface LivePiece {
  readonly iova: bigint;
  /** Of the recorded bytes. */
  readonly from: number;
  readonly length: number;
}

const HALF = 32n;
const LOW = 0xffff_ffffn;
const PAGE = 4096;
/** 256 MiB: a process has a quarter of it compared at most. */
const PAGES_MOST = 1 << 16;
/** Addresses of a process on x86-64, but for those of a program that is linked to a fixed place. */
const POINTERS_FROM = 0x5500_0000_0000n;
const POINTERS_TO = 0x8000_0000_0000n;

/** A place in the process's own memory: another one in each run. */
function isPointer(value: bigint): boolean {
  return value >= POINTERS_FROM && value < POINTERS_TO;
}

function eachPage(
  map: HeldMap,
  iova: bigint,
  length: number,
  visit: (page: number, inPage: number, from: number, length: number) => void,
): void {
  const start = Number(iova - map.start);
  for (let from = 0; from < length; ) {
    const at = start + from;
    const inPage = at % PAGE;
    const count = Math.min(PAGE - inPage, length - from);
    visit((at - inPage) / PAGE, inPage, from, count);
    from += count;
  }
}

export class RecordedMemory {
  readonly #maps = new RecordedMaps<HeldMap>();
  readonly #windows = new LiveWindows();
  #mapped = 0;
  #pages = 0;

  map(space: DmaSpace, iova: bigint, size: bigint): void {
    const [pages, own] = [new Map<number, Uint8Array>(), new Set<number>()];
    const age = this.#mapped++;
    this.#forget(this.#maps.add({ space, start: iova, length: size, age, found: undefined, pages, own }));
  }

  /** The recorded memory holds this now; what it held before. Undefined where nothing was mapped. */
  remember(space: DmaSpace | undefined, iova: bigint, bytes: Uint8Array): Uint8Array | undefined {
    const before = this.recall(space, iova, bytes.length);
    const map = this.#maps.at(space, iova);
    if (before === undefined || map === undefined) return undefined;
    eachPage(map, iova, bytes.length, (page, inPage, from, length) => {
      let held = map.pages.get(page);
      if (held === undefined) {
        if (this.#pages === PAGES_MOST) return;
        this.#pages++;
        held = new Uint8Array(PAGE);
        map.pages.set(page, held);
      }
      held.set(bytes.subarray(from, from + length), inPage);
    });
    return before;
  }

  /** The driver wrote this there: where a pointer is among it, the page is its own. */
  ownPointers(space: DmaSpace | undefined, iova: bigint, bytes: Uint8Array): void {
    const map = this.#maps.at(space, iova);
    if (map === undefined || map.own.size === PAGES_MOST) return;
    for (let at = 0; at + 8 <= bytes.length; at += 8)
      if (isPointer(littleEndian(bytes.subarray(at, at + 8))))
        map.own.add(Math.floor(Number(iova - map.start + BigInt(at)) / PAGE));
  }

  /** Whether it lies in such a page. */
  isOwn(space: DmaSpace | undefined, iova: bigint): boolean {
    const map = this.#maps.at(space, iova);
    return map?.own.has(Math.floor(Number(iova - map.start) / PAGE)) === true;
  }

  /** What the recorded memory holds there; undefined where nothing was mapped, all the way. */
  recall(space: DmaSpace | undefined, iova: bigint, length: number): Uint8Array | undefined {
    const map = this.#maps.at(space, iova);
    if (map === undefined || iova + BigInt(length) > map.start + map.length) return undefined;
    const bytes = new Uint8Array(length);
    eachPage(map, iova, length, (page, inPage, from, count) => {
      const held = map.pages.get(page);
      if (held !== undefined) bytes.set(held.subarray(inPage, inPage + count), from);
    });
    return bytes;
  }

  unmap(space: DmaSpace, iova: bigint, size: bigint): void {
    this.#forget(this.#maps.remove(space, iova, size));
  }

  #forget(gone: readonly HeldMap[]): void {
    for (const { pages } of gone) this.#pages -= pages.size;
  }

  /** What is mapped now. */
  look(windows: readonly DmaWindow[]): void {
    this.#windows.look(windows);
  }

  /** Where these recorded bytes are now; a string says why that is not known. */
  locate(space: DmaSpace | undefined, iova: bigint, length: number): readonly LivePiece[] | string {
    const pieces: LivePiece[] = [];
    for (let from = 0; from < length; ) {
      const address = iova + BigInt(from);
      const map = this.#maps.at(space, address);
      if (map === undefined) return `0x${address.toString(16)} was not mapped in the recording`;
      const live = this.#live(map);
      if (live === undefined) return `no memory of 0x${map.length.toString(16)} bytes is mapped in its place`;
      const inside = address - map.start;
      const rest = map.length - inside;
      const count = rest < BigInt(length - from) ? Number(rest) : length - from;
      pieces.push({ iova: live.iova + inside, from, length: count });
      from += count;
    }
    return pieces;
  }

  /** Whether two numbers are the same, or addresses of the same place in a mapping. */
  sameNumber(recorded: bigint, seen: bigint, width: number): boolean {
    if (recorded === seen) return true;
    if (width === 8) return this.#translations(recorded).some((value) => value === seen);
    // Half of an address, as devices of 32-bit registers have it.
    return width === 4 && (this.#sameHigh(recorded, seen) || this.#sameLow(recorded, seen));
  }

  #sameHigh(recorded: bigint, seen: bigint): boolean {
    if (!this.#windows.hasHigh(seen)) return false;
    return this.#maps.ofHigh(recorded).some((map) => {
      const live = this.#live(map);
      return live !== undefined && live.iova >> HALF === seen;
    });
  }

  #sameLow(recorded: bigint, seen: bigint): boolean {
    return this.#maps.aroundLow(recorded).some((map) => {
      const live = this.#live(map);
      return live !== undefined && ((live.iova + recorded - (map.start & LOW)) & LOW) === seen;
    });
  }

  /** The same for bytes: words that differ may be addresses. */
  sameBytes(recorded: Uint8Array, seen: Uint8Array): boolean {
    if (Buffer.compare(recorded, seen) === 0) return true;
    for (let at = 0; at < recorded.length; at += 8) {
      const [a, b] = [recorded.subarray(at, at + 8), seen.subarray(at, at + 8)];
      if (Buffer.compare(a, b) === 0) continue;
      if (a.length < 8 || !this.sameNumber(littleEndian(a), littleEndian(b), 8)) return false;
    }
    return true;
  }

  /** The same for memory that was compared, where pointers of the driver's own may stand. */
  sameContents(recorded: Uint8Array, seen: Uint8Array): boolean {
    if (Buffer.compare(recorded, seen) === 0) return true;
    for (let at = 0; at < recorded.length; at += 8) {
      const [a, b] = [recorded.subarray(at, at + 8), seen.subarray(at, at + 8)];
      if (Buffer.compare(a, b) === 0) continue;
      const [before, now] = [littleEndian(a), littleEndian(b)];
      if (!(isPointer(before) && isPointer(now)) && !this.sameNumber(before, now, a.length)) return false;
    }
    return true;
  }

  #translations(address: bigint): readonly bigint[] {
    return this.#maps.around(address).flatMap((map) => {
      const live = this.#live(map);
      return live === undefined ? [] : [live.iova + address - map.start];
    });
  }

  #live(map: HeldMap): DmaWindow | undefined {
    const live = this.#windows.ofSize(map.length);
    if (live === undefined) return undefined;
    const still = map.found === undefined ? undefined : live.byIova.get(map.found.iova);
    if (still !== undefined) return still;
    const { place, count } = this.#maps.placeOf(map);
    const byOrder = live.inOrder[place];
    // With more or fewer of them than there were, the order says less than the address.
    const found = live.inOrder.length === count ? byOrder : (live.byIova.get(map.start) ?? byOrder);
    if (found !== undefined) map.found = found;
    return found;
  }
}
