// SPDX-License-Identifier: Apache-2.0
/**
 * Loads of one register in a row. A driver that waits for a register to change reads it as often as its device was
 * slow: only the values that it went through count, and the last one is waited for.
 */
export interface LoadPlace {
  readonly object: number;
  readonly thread: number;
  readonly region: number;
  readonly offset: number;
  readonly width: number;
}

export interface Mismatch {
  readonly event: number;
  readonly recorded: bigint;
  readonly seen: bigint;
}

export class LoadRun {
  #recorded: bigint[] = [];
  #seen: bigint[] = [];
  #first: Mismatch | undefined;

  constructor(readonly place: LoadPlace) {}

  is({ object, thread, region, offset, width }: LoadPlace): boolean {
    const { place } = this;
    return (
      place.object === object &&
      place.thread === thread &&
      place.region === region &&
      place.offset === offset &&
      place.width === width
    );
  }

  /** Values without the bits that are not compared. */
  add(event: number, recorded: bigint, seen: bigint): void {
    if (this.#recorded.at(-1) !== recorded) this.#recorded.push(recorded);
    if (this.#seen.at(-1) !== seen) this.#seen.push(seen);
    if (recorded !== seen) this.#first ??= { event, recorded, seen };
  }

  /** Undefined: as recorded. `again` reads the register once more; undefined: it has been waited long enough. */
  end(again: () => bigint | undefined): Mismatch | undefined {
    if (this.#first === undefined) return undefined;
    const last = this.#recorded.at(-1);
    while (this.#seen.at(-1) !== last) {
      const value = again();
      if (value === undefined) return this.#first;
      if (this.#seen.at(-1) !== value) this.#seen.push(value);
    }
    return this.#agree() ? undefined : this.#first;
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
