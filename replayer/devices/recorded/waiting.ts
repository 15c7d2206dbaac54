// SPDX-License-Identifier: Apache-2.0
/** What the device did, until what caused it has been read: a call is recorded where it completed. */

/** More at once are of no driver: times in a trace may be anything. */
const WAITING_MOST = 1 << 16;

interface Timed {
  readonly time: number;
}

interface Waiting<S> {
  readonly step: S;
  /** Its place in the recording. */
  readonly place: number;
}

/** A binary heap, the earliest on top. */
export class WaitingSteps<S extends Timed> {
  readonly #heap: Waiting<S>[] = [];
  readonly #isFound: (step: S) => boolean;
  #places = 0;

  /** `isFound`: it was found at the driver's step, so it comes before one of the same time. */
  constructor(isFound: (step: S) => boolean) {
    this.#isFound = isFound;
  }

  /** Answers the earliest of them when there are too many. */
  add(step: S): S | undefined {
    this.#push({ step, place: this.#places++ });
    return this.#heap.length > WAITING_MOST ? this.#pop()?.step : undefined;
  }

  /** Those that come before what the driver did at this time, in the order of the recording. */
  due(time: number): readonly S[] {
    const due: Waiting<S>[] = [];
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      const isDue = top.step.time < time || (top.step.time === time && this.#isFound(top.step));
      if (!isDue) break;
      due.push(top);
      this.#pop();
    }
    return inOrder(due);
  }

  /** What is left when the recording ends. */
  rest(): readonly S[] {
    return inOrder(this.#heap.splice(0));
  }

  #push(one: Waiting<S>): void {
    const heap = this.#heap;
    let at = heap.length;
    for (; at > 0; at = (at - 1) >> 1) {
      const above = heap[(at - 1) >> 1] as Waiting<S>;
      if (!this.#isBefore(one, above)) break;
      heap[at] = above;
    }
    heap[at] = one;
  }

  #pop(): Waiting<S> | undefined {
    const heap = this.#heap;
    const [top] = heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = heap[child + 1];
      if (right !== undefined && this.#isBefore(right, heap[child] as Waiting<S>)) child++;
      const below = heap[child] as Waiting<S>;
      if (!this.#isBefore(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return top;
  }

  #isBefore({ step: a, place }: Waiting<S>, { step: b, place: other }: Waiting<S>): boolean {
    if (a.time !== b.time) return a.time < b.time;
    const isFound = this.#isFound(a);
    return isFound === this.#isFound(b) ? place < other : isFound;
  }
}

function inOrder<S>(waiting: Waiting<S>[]): readonly S[] {
  return waiting.sort((a, b) => a.place - b.place).map(({ step }) => step);
}
