// SPDX-License-Identifier: Apache-2.0

export interface Interval {
  readonly start: bigint;
  readonly length: bigint;
}

export function greatest(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

/** How much of it lies in [start, start + length). */
export function lengthWithin(item: Interval, start: bigint, length: bigint): bigint {
  const from = greatest(item.start, start);
  const end = -greatest(-(item.start + item.length), -(start + length));
  return greatest(end - from, 0n);
}

/** What is left of an item outside of a range that took the rest. */
export type Remainder<T> = (whole: T, start: bigint, length: bigint) => T;

/** A driver may hold 65535 DMA mappings (dma_entry_limit): one array would be moved by half a megabyte for each. */
const BLOCK = 256;

/** Intervals that don't overlap, in order: a later one takes the place of what it covers. */
export class Intervals<T extends Interval> {
  /** None is empty. */
  #blocks: T[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const block of this.#blocks) yield* block;
  }

  at(address: bigint): T | undefined {
    const block = this.#blocks[this.#block(address)];
    const item = block?.[after(block, address) - 1];
    return item !== undefined && address < item.start + item.length ? item : undefined;
  }

  /** What lies in [start, start + length), whole or in part. */
  within(start: bigint, length: bigint): readonly T[] {
    const found: T[] = [];
    const stop = start + length;
    let number = this.#block(start);
    for (let i = this.#first(number, start); number < this.#blocks.length; number++, i = 0) {
      for (const block = this.#blocks[number] as T[]; i < block.length; i++) {
        const item = block[i] as T;
        if (item.start >= stop) return found;
        found.push(item);
      }
    }
    return found;
  }

  add(item: T, remainder: Remainder<T>): void {
    if (item.length <= 0n) return;
    this.remove(item.start, item.length, remainder);
    this.#insert(item);
  }

  /** Takes the range out and answers what was touched, as it was. */
  remove(start: bigint, length: bigint, remainder: Remainder<T>): readonly T[] {
    const touched = length > 0n ? this.within(start, length) : [];
    if (touched.length === 0) return touched;
    const head = touched[0] as T;
    const tail = touched[touched.length - 1] as T;
    this.#take(head.start, touched.length);
    if (head.start < start) this.#insert(remainder(head, head.start, start - head.start));
    const stop = start + length;
    const end = tail.start + tail.length;
    if (end > stop) this.#insert(remainder(tail, stop, end - stop));
    return touched;
  }

  clear(): void {
    this.#blocks = [];
    this.#size = 0;
  }

  /** The last block that begins at or before the address, else the first. */
  #block(address: bigint): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#blocks[middle] as T[])[0] as T).start <= address) low = middle + 1;
      else high = middle;
    }
    return Math.max(low - 1, 0);
  }

  /** Index in the block of the first item that reaches beyond the address. */
  #first(number: number, address: bigint): number {
    const block = this.#blocks[number];
    if (block === undefined) return 0;
    const next = after(block, address);
    const before = block[next - 1];
    return before !== undefined && before.start + before.length > address ? next - 1 : next;
  }

  /** So many items from the one that begins here. */
  #take(start: bigint, count: number): void {
    this.#size -= count;
    let number = this.#block(start);
    let index = after(this.#blocks[number] as T[], start) - 1;
    for (let rest = count; rest > 0; index = 0) {
      const block = this.#blocks[number] as T[];
      rest -= block.splice(index, rest).length;
      if (block.length === 0) this.#blocks.splice(number, 1);
      else number++;
    }
  }

  #insert(item: T): void {
    this.#size++;
    const number = this.#block(item.start);
    const block = this.#blocks[number];
    if (block === undefined) {
      this.#blocks.push([item]);
      return;
    }
    block.splice(after(block, item.start), 0, item);
    if (block.length > BLOCK) this.#blocks.splice(number + 1, 0, block.splice(BLOCK / 2));
  }
}

/** How many of the items begin at or before the address. */
function after<T extends Interval>(items: readonly T[], address: bigint): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((items[middle] as T).start <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}
