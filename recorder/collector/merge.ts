// SPDX-License-Identifier: Apache-2.0
import type { RingReader } from './ring.js';

/** Rings by the completion time of their present record: a binary heap, the earliest on top. */
export class MergeHeap {
  private readonly heap: RingReader[] = [];

  get top(): RingReader | undefined {
    return this.heap[0];
  }

  get size(): number {
    return this.heap.length;
  }

  /** Key of the ring that comes after the top one. */
  get secondKey(): number {
    const left = this.heap[1];
    const right = this.heap[2];
    if (left === undefined) return Number.POSITIVE_INFINITY;
    return right !== undefined && right.key < left.key ? right.key : left.key;
  }

  clear(): void {
    this.heap.length = 0;
  }

  push(ring: RingReader): void {
    const heap = this.heap;
    let at = heap.length;
    heap.push(ring);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as RingReader;
      if (!before(ring, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = ring;
  }

  /** The top ring's key grew: finds its place again. */
  sink(): void {
    const heap = this.heap;
    const ring = heap[0];
    if (ring === undefined || heap.length < 2) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as RingReader, heap[child] as RingReader))
        child += 1;
      const below = heap[child] as RingReader;
      if (!before(below, ring)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = ring;
  }

  pop(): void {
    const last = this.heap.pop();
    if (last === undefined || this.heap.length === 0) return;
    this.heap[0] = last;
    this.sink();
  }
}

function before(a: RingReader, b: RingReader): boolean {
  return a.key < b.key || (a.key === b.key && a.index < b.index);
}

/**
 * How far the merge may go: an event that completed before a moment at which the rings were looked at, and that was
 * looked at a while ago, can't be overtaken by one that is still being written into another ring.
 */
export class Watermark {
  private readonly holdMs: number;
  private readonly looks: { at: number; newest: number }[] = [];
  private passed = -1;

  constructor(holdMs: number) {
    this.holdMs = holdMs;
  }

  /** The newest completion that was seen at a look at `now` (ms). Answers the time up to which events may go. */
  look(now: number, newest: number | undefined): number {
    if (newest !== undefined) this.looks.push({ at: now, newest });
    let first = this.looks[0];
    while (first !== undefined && first.at <= now - this.holdMs) {
      if (first.newest > this.passed) this.passed = first.newest;
      this.looks.shift();
      first = this.looks[0];
    }
    return this.passed;
  }
}
