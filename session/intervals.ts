// SPDX-License-Identifier: Apache-2.0

export interface Interval {
  readonly start: bigint;
  readonly length: bigint;
}

/** Intervals that don't overlap, in order: a later one takes the place of what it covers. */
export class Intervals<T extends Interval> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#items[Symbol.iterator]();
  }

  at(address: bigint): T | undefined {
    const item = this.#items[this.#after(address) - 1];
    return item !== undefined && address < item.start + item.length ? item : undefined;
  }

  /** What lies in [start, start + length), whole or in part. */
  within(start: bigint, length: bigint): readonly T[] {
    const [first, end] = this.#span(start, length);
    return this.#items.slice(first, end);
  }

  /** Adds the item; `remainder` says what is left of an earlier one outside of it. */
  add(item: T, remainder: (whole: T, start: bigint, length: bigint) => T): void {
    if (item.length <= 0n) return;
    this.remove(item.start, item.length, remainder);
    this.#items.splice(this.#after(item.start), 0, item);
  }

  /** Takes the range out and answers what was touched, as it was. */
  remove(
    start: bigint,
    length: bigint,
    remainder: (whole: T, start: bigint, length: bigint) => T,
  ): readonly T[] {
    const [first, end] = this.#span(start, length);
    if (first >= end) return [];
    const touched = this.#items.slice(first, end);
    const kept: T[] = [];
    const head = touched[0] as T;
    const tail = touched[touched.length - 1] as T;
    if (head.start < start) kept.push(remainder(head, head.start, start - head.start));
    const stop = start + length;
    if (tail.start + tail.length > stop) kept.push(remainder(tail, stop, tail.start + tail.length - stop));
    this.#items.splice(first, end - first, ...kept);
    return touched;
  }

  clear(): void {
    this.#items.length = 0;
  }

  #span(start: bigint, length: bigint): readonly [first: number, end: number] {
    if (length <= 0n) return [0, 0];
    let first = this.#after(start);
    const before = this.#items[first - 1];
    if (before !== undefined && before.start + before.length > start) first--;
    let end = first;
    const stop = start + length;
    while (end < this.#items.length && (this.#items[end] as T).start < stop) end++;
    return [first, end];
  }

  /** How many begin at or before the address. */
  #after(address: bigint): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle] as T).start <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
