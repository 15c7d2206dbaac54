// SPDX-License-Identifier: Apache-2.0
/**
 * Loads of one register in a row. A driver that waits for a register to change reads it as often as its device was
 * slow: only the values that it went through count, and the last one is waited for.
 */
import type { AccessWidth } from './target.js';

export interface Mismatch {
  readonly event: number;
  readonly recorded: bigint;
  readonly seen: bigint;
}

/** One object for all runs: nothing is made for a load that is as recorded. */
export class LoadRun {
  object = -1;
  thread = 0;
  region = 0;
  offset = 0;
  width: AccessWidth = 4;
  #recorded: bigint[] = [];
  #seen: bigint[] = [];
  #first: Mismatch | undefined;

  is(object: number, thread: number, region: number, offset: number, width: number): boolean {
    return (
      this.offset === offset &&
      this.object === object &&
      this.thread === thread &&
      this.region === region &&
      this.width === width
    );
  }

  begin(object: number, thread: number, region: number, offset: number, width: AccessWidth): void {
    this.object = object;
    this.thread = thread;
    this.region = region;
    this.offset = offset;
    this.width = width;
    this.#recorded.length = 0;
    this.#seen.length = 0;
    this.#first = undefined;
  }

  /** Values without the bits that are not compared. */
  add(event: number, recorded: bigint, seen: bigint): void {
    if (this.#recorded.at(-1) !== recorded) this.#recorded.push(recorded);
    if (this.#seen.at(-1) !== seen) this.#seen.push(seen);
    if (recorded !== seen) this.#first ??= { event, recorded, seen };
  }

  /** Whether a load was otherwise than recorded. */
  get differs(): boolean {
    return this.#first !== undefined;
  }

  /**
   * The run is over. Undefined: as recorded. `again` reads the register once more; undefined: it has been waited long
   * enough.
   */
  end(again: () => bigint | undefined): Mismatch | undefined {
    this.object = -1;
    const first = this.#first;
    this.#first = undefined;
    if (first === undefined) return undefined;
    const last = this.#recorded.at(-1);
    while (this.#seen.at(-1) !== last) {
      const value = again();
      if (value === undefined) return first;
      if (this.#seen.at(-1) !== value) this.#seen.push(value);
    }
    return this.#agree() ? undefined : first;
  }

  /** The same values in the same order; the first of them may be missing, where either device was the faster one. */
  #agree(): boolean {
    const [longer, shorter] =
      this.#recorded.length >= this.#seen.length
        ? [this.#recorded, this.#seen]
        : [this.#seen, this.#recorded];
    const skipped = longer.length - shorter.length;
    return skipped <= 1 && shorter.every((value, i) => value === longer[i + skipped]);
  }
}
