// SPDX-License-Identifier: Apache-2.0
/** Memory mapped for DMA as spans of time on lanes: a lane holds one mapping at a time. */

export interface DmaWindow {
  readonly object: string;
  readonly lane: number;
  readonly iova: bigint;
  readonly size: bigint;
  readonly from: number;
}

/** More mappings than this at a time are counted only. */
const LANES = 64;

export class DmaWindows {
  readonly #open = new Map<string, DmaWindow>();
  readonly #free = new Map<string, number[]>();
  readonly #used = new Map<string, number>();
  readonly #bytes = new Map<string, bigint>();

  /** Bytes that are mapped in the address spaces of this object now. */
  bytes(object: string): bigint {
    return this.#bytes.get(object) ?? 0n;
  }

  map(object: string, iova: bigint, size: bigint, time: number): DmaWindow | undefined {
    this.#bytes.set(object, this.bytes(object) + size);
    const free = this.#free.get(object) ?? [];
    this.#free.set(object, free);
    const used = this.#used.get(object) ?? 0;
    const lane = free.pop() ?? (used < LANES ? used : undefined);
    if (lane === undefined) return undefined;
    if (lane === used) this.#used.set(object, used + 1);
    const window: DmaWindow = { object, lane, iova, size, from: time };
    this.#open.set(`${object} ${iova}`, window);
    return window;
  }

  /** The window that ends; undefined: it was not on a lane, or only a part of it went. */
  unmap(object: string, iova: bigint, size: bigint): DmaWindow | undefined {
    const left = this.bytes(object) - size;
    this.#bytes.set(object, left < 0n ? 0n : left);
    const key = `${object} ${iova}`;
    const window = this.#open.get(key);
    if (window === undefined) return undefined;
    this.#open.delete(key);
    this.#free.get(object)?.push(window.lane);
    return window;
  }

  /** Those that nobody unmapped. */
  open(): Iterable<DmaWindow> {
    return this.#open.values();
  }
}
