// SPDX-License-Identifier: Apache-2.0

const SECOND = 1e9;

/** How often something happened in the busiest second: seconds begin with the first event after the one before is over. */
export class Rate {
  peak = 0;
  /** The first event of the busiest second. */
  event = -1;
  total = 0;
  #start = Number.NEGATIVE_INFINITY;
  #first = -1;
  #count = 0;

  /** `time`: ns. */
  add(time: number, event: number, times = 1): void {
    if (time - this.#start >= SECOND) {
      this.#start = time;
      this.#first = event;
      this.#count = 0;
    }
    this.total += times;
    this.#count += times;
    if (this.#count > this.peak) {
      this.peak = this.#count;
      this.event = this.#first;
    }
  }
}

/** `1.5 ms`, for a message. */
export function timeText(ns: number): string {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  return `${(ns / 1e9).toPrecision(3)} s`;
}

/** By what it counts for, made when it is first asked for. */
export class PerKey<K, V> {
  readonly #held = new Map<K, V>();
  readonly #make: () => V;

  constructor(make: () => V) {
    this.#make = make;
  }

  of(key: K): V {
    let value = this.#held.get(key);
    if (value === undefined) {
      value = this.#make();
      this.#held.set(key, value);
    }
    return value;
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.#held[Symbol.iterator]();
  }
}
