// SPDX-License-Identifier: Apache-2.0
/** Mappings of the recording and of today, by address and by size: a driver may have tens of thousands. */
import { type Interval, Intervals } from '../../../session/intervals.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { DmaWindow } from '../device.js';

/** Mappings of a recording that are live at once: as many as one container has at most (dma_entry_limit). */
const MAPS_MOST = 1 << 16;
const HALF = 32n;

export interface RecordedMap extends Interval {
  readonly space: DmaSpace;
  /** Grows from one that is mapped to the next. */
  readonly age: number;
  /** What it was found to be. */
  found: DmaWindow | undefined;
}

/** Of one address space. */
class SpaceMaps<M extends RecordedMap> {
  readonly byAddress = new Intervals<M>();
  /** In the order of mapping. */
  readonly bySize = new Map<bigint, M[]>();
  /** How many begin in each 4 GiB. */
  readonly highs = new Map<bigint, number>();

  add(map: M): void {
    this.byAddress.add(map, same);
    const alike = this.bySize.get(map.length);
    if (alike === undefined) this.bySize.set(map.length, [map]);
    else alike.push(map);
    this.#count(map, 1);
  }

  remove(gone: readonly M[]): void {
    const [only] = gone;
    if (gone.length === 1 && only !== undefined) this.bySize.get(only.length)?.splice(this.place(only), 1);
    else {
      const all = new Set(gone);
      for (const size of new Set(gone.map(({ length }) => length)))
        this.bySize.set(size, this.bySize.get(size)?.filter((map) => !all.has(map)) ?? []);
    }
    for (const map of gone) {
      if (this.bySize.get(map.length)?.length === 0) this.bySize.delete(map.length);
      this.byAddress.remove(map.start, map.length, same);
      this.#count(map, -1);
    }
  }

  /** Among those of its size. */
  place({ length, age }: M): number {
    const alike = this.bySize.get(length) ?? [];
    let low = 0;
    let high = alike.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((alike[middle] as M).age < age) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #count({ start }: M, by: number): void {
    const count = (this.highs.get(start >> HALF) ?? 0) + by;
    if (count === 0) this.highs.delete(start >> HALF);
    else this.highs.set(start >> HALF, count);
  }
}

/** They come and go whole. */
function same<M>(map: M): M {
  return map;
}

export class RecordedMaps<M extends RecordedMap> {
  readonly #spaces = new Map<DmaSpace, SpaceMaps<M>>();
  #count = 0;

  /** Answers what it takes the place of: the recording does not tell when that went. */
  add(map: M): readonly M[] {
    if (map.length <= 0n) return [];
    const gone = this.#remove(
      map.space,
      this.#spaces.get(map.space)?.byAddress.within(map.start, map.length),
    );
    if (this.#count === MAPS_MOST) return gone;
    let maps = this.#spaces.get(map.space);
    if (maps === undefined) {
      maps = new SpaceMaps();
      this.#spaces.set(map.space, maps);
    }
    maps.add(map);
    this.#count++;
    return gone;
  }

  /** Takes out what lies wholly in the range, and answers it. */
  remove(space: DmaSpace, start: bigint, length: bigint): readonly M[] {
    const touched = this.#spaces.get(space)?.byAddress.within(start, length);
    const isInside = (map: M): boolean => map.start >= start && map.start + map.length <= start + length;
    return this.#remove(space, touched?.filter(isInside));
  }

  #remove(space: DmaSpace, gone: readonly M[] = []): readonly M[] {
    const maps = this.#spaces.get(space);
    if (maps === undefined || gone.length === 0) return gone;
    maps.remove(gone);
    this.#count -= gone.length;
    if (maps.byAddress.size === 0) this.#spaces.delete(space);
    return gone;
  }

  /** Of any space, where that is not known. */
  at(space: DmaSpace | undefined, address: bigint): M | undefined {
    if (space !== undefined) return this.#spaces.get(space)?.byAddress.at(address);
    for (const { byAddress } of this.#spaces.values()) {
      const found = byAddress.at(address);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** In all spaces, what an address may point into, or just behind: it may bound something. */
  around(address: bigint): readonly M[] {
    return [...this.#spaces.values()].flatMap(({ byAddress }) => byAddress.within(address - 1n, 2n));
  }

  /** In all spaces, what an address with this lower half may point into. */
  aroundLow(low: bigint): readonly M[] {
    return [...this.#spaces.values()].flatMap(({ byAddress, highs }) =>
      [...highs.keys()].flatMap((high) => {
        const map = byAddress.at((high << HALF) + low);
        return map !== undefined && map.start >> HALF === high ? [map] : [];
      }),
    );
  }

  /** In all spaces, what begins at an address with this upper half. */
  ofHigh(high: bigint): readonly M[] {
    const start = high << HALF;
    return [...this.#spaces.values()].flatMap(({ byAddress, highs }) =>
      highs.has(high) ? byAddress.within(start, 1n << HALF).filter((map) => map.start >= start) : [],
    );
  }

  /** Which it is of those of its space and size, and how many those are. */
  placeOf(map: M): { readonly place: number; readonly count: number } {
    const maps = this.#spaces.get(map.space);
    return { place: maps?.place(map) ?? 0, count: maps?.bySize.get(map.length)?.length ?? 0 };
  }
}

/** Those of one size. */
interface AlikeWindows {
  /** In the order of mapping. */
  readonly inOrder: DmaWindow[];
  readonly byIova: Map<bigint, DmaWindow>;
}

/** What is mapped now. */
export class LiveWindows {
  #windows: readonly DmaWindow[] = [];
  #bySize: Map<bigint, AlikeWindows> | undefined;
  #highs: Set<bigint> | undefined;

  /** The same array as before: nothing has changed. */
  look(windows: readonly DmaWindow[]): void {
    if (windows === this.#windows) return;
    this.#windows = windows;
    this.#bySize = undefined;
    this.#highs = undefined;
  }

  /** Whether one begins at an address with this upper half. */
  hasHigh(high: bigint): boolean {
    this.#highs ??= new Set(this.#windows.map(({ iova }) => iova >> HALF));
    return this.#highs.has(high);
  }

  ofSize(size: bigint): AlikeWindows | undefined {
    this.#bySize ??= bySize(this.#windows);
    return this.#bySize.get(size);
  }
}

function bySize(windows: readonly DmaWindow[]): Map<bigint, AlikeWindows> {
  const sizes = new Map<bigint, AlikeWindows>();
  for (const window of windows) {
    let alike = sizes.get(window.size);
    if (alike === undefined) {
      alike = { inOrder: [], byIova: new Map() };
      sizes.set(window.size, alike);
    }
    alike.inOrder.push(window);
    alike.byIova.set(window.iova, window);
  }
  return sizes;
}
