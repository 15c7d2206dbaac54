// SPDX-License-Identifier: Apache-2.0
/**
 * Which IOVAs of an address space were mapped, and when, in constant memory: neighbours become one area, and times that
 * are near to each other one time, when there are too many.
 */
import type { DmaMapping } from '../../session/dma.js';
import { greatest } from '../../session/intervals.js';

export interface Life {
  readonly from: number;
  /** Infinity: still mapped. */
  to: number;
  /** How much of the area was mapped in this time, and how long: bytes times ns. */
  held: number;
}

export interface Area {
  readonly start: bigint;
  readonly end: bigint;
  /** The device may read, write. */
  readonly readable: boolean;
  readonly writable: boolean;
  /** How often something was mapped here. */
  maps: number;
  /** How much of it is mapped now, bytes. */
  open: number;
  /** In time, apart from each other. */
  readonly lives: readonly Life[];
}

const AREAS_MAX = 1024;
const LIVES_MAX = 64;

/** `since`: when `open` changed last, ns. */
type Held = Area & { lives: Life[]; since: number };

export class DmaAreas {
  /** By what was mapped, exactly. */
  readonly #areas = new Map<string, Held>();
  /** What was put together, in order. */
  #merged: readonly Held[] = [];
  /** The latest time that was told. */
  #now = 0;

  map(mapping: DmaMapping, time: number): void {
    const { start, length, readable, writable } = mapping;
    let area = this.#find(mapping);
    if (area === undefined) {
      if (this.#areas.size >= AREAS_MAX) {
        this.#merged = fewer(this.#all(this.#now), AREAS_MAX / 2);
        this.#areas.clear();
      }
      area = { start, end: start + length, readable, writable, maps: 0, open: 0, lives: [], since: time };
      this.#areas.set(keyOf(mapping), area);
    }
    this.#now = Math.max(this.#now, time);
    area.maps++;
    advance(area, time);
    if (area.open === 0) {
      area.lives.push({ from: time, to: Number.POSITIVE_INFINITY, held: 0 });
      if (area.lives.length > LIVES_MAX) joinNearest(area.lives);
    }
    area.open += Number(length);
  }

  /** What was mapped there, whole. */
  unmap(mapping: DmaMapping, time: number): void {
    const area = this.#find(mapping) ?? this.#around(mapping);
    if (area === undefined || area.open === 0) return;
    this.#now = Math.max(this.#now, time);
    advance(area, time);
    area.open = Math.max(0, area.open - Number(mapping.length));
    const last = area.lives.at(-1);
    if (area.open === 0 && last !== undefined) last.to = time;
  }

  /** At most so many, in order, as they are at this time. */
  areas(most: number, time: number): readonly Area[] {
    return fewer(this.#all(time), most);
  }

  #all(time: number): readonly Held[] {
    const all = [...this.#areas.values(), ...this.#merged];
    for (const area of all) advance(area, time);
    return all.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : a.end < b.end ? -1 : 1));
  }

  #find(mapping: DmaMapping): Held | undefined {
    return this.#areas.get(keyOf(mapping)) ?? this.#inMerged(mapping);
  }

  #inMerged({ start, length }: DmaMapping): Held | undefined {
    let low = 0;
    let high = this.#merged.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#merged[middle] as Held).start <= start) low = middle + 1;
      else high = middle;
    }
    const area = this.#merged[low - 1];
    return area !== undefined && start + length <= area.end ? area : undefined;
  }

  /** A part of a mapping is unmapped where the kernel splits it. */
  #around({ start, length }: DmaMapping): Held | undefined {
    for (const area of this.#areas.values())
      if (area.open > 0 && area.start <= start && start + length <= area.end) return area;
    return undefined;
  }
}

/** What is mapped has been since. */
function advance(area: Held, time: number): void {
  const last = area.lives.at(-1);
  if (area.open > 0 && last !== undefined) last.held += area.open * Math.max(0, time - area.since);
  area.since = Math.max(area.since, time);
}

function keyOf({ start, length, readable, writable }: DmaMapping): string {
  return `${start} ${length} ${readable} ${writable}`;
}

/** Pairs with the least between them are put together, of these the smallest first: where all are neighbours, areas grow alike. */
function fewer(sorted: readonly Held[], most: number): readonly Held[] {
  let areas = sorted;
  while (areas.length > most) {
    // A few at a time: all at once would double what has grown before, too, and the oldest would swallow the rest.
    const round = Math.min(areas.length - most, Math.max(1, areas.length >> 3));
    const pairs = areas.slice(1).map((area, i) => {
      const before = areas[i] as Held;
      return { i, gap: greatest(0n, area.start - before.end), extent: area.end - before.start };
    });
    pairs.sort((a, b) => compare(a.gap, b.gap) || compare(a.extent, b.extent));
    const joined = new Set<number>();
    for (const { i } of pairs) {
      if (joined.size >= round) break;
      if (!joined.has(i - 1) && !joined.has(i + 1)) joined.add(i);
    }
    areas = areas.flatMap((area, i) => {
      if (joined.has(i - 1)) return [];
      return [joined.has(i) ? joinedAreas(area, areas[i + 1] as Held) : area];
    });
  }
  return areas;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function joinedAreas(a: Held, b: Held): Held {
  return {
    start: a.start,
    end: greatest(a.end, b.end),
    readable: a.readable || b.readable,
    writable: a.writable || b.writable,
    maps: a.maps + b.maps,
    open: a.open + b.open,
    lives: union([...a.lives, ...b.lives], LIVES_MAX),
    since: Math.max(a.since, b.since),
  };
}

/** What they cover together, in at most so many. */
export function union(lives: readonly Life[], most: number): Life[] {
  const apart: Life[] = [];
  for (const life of [...lives].sort((a, b) => a.from - b.from)) {
    const last = apart.at(-1);
    if (last !== undefined && life.from <= last.to) {
      last.to = Math.max(last.to, life.to);
      last.held += life.held;
    } else apart.push({ ...life });
  }
  while (apart.length > most) joinNearest(apart);
  return apart;
}

/** Two that are nearest in time become one. */
function joinNearest(lives: Life[]): void {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < lives.length; i++) {
    const gap = (lives[i + 1] as Life).from - (lives[i] as Life).to;
    if (gap < least) {
      least = gap;
      best = i;
    }
  }
  const [first, second] = lives.slice(best, best + 2) as [Life, Life];
  lives.splice(best, 2, { from: first.from, to: second.to, held: first.held + second.held });
}
