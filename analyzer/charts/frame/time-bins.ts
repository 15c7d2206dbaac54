// SPDX-License-Identifier: Apache-2.0
/** A quantity over time in constant memory: its greatest value in each of so many bins, which widen as time goes on. */
export class TimeBins {
  readonly #most: Float64Array;
  readonly #last: Float64Array;
  #used = 0;
  #width: number;

  /** `width`: of a bin at first, ns. */
  constructor(bins = 2048, width = 1024) {
    this.#most = new Float64Array(bins);
    this.#last = new Float64Array(bins);
    this.#width = width;
  }

  /** From this time on it is so much; a time before an earlier one is that one. */
  set(time: number, value: number): void {
    let bin = Math.floor(time / this.#width);
    while (bin >= this.#most.length) {
      this.#halve();
      bin = Math.floor(time / this.#width);
    }
    if (bin < this.#used) bin = this.#used - 1;
    const held = this.#used === 0 ? 0 : (this.#last[this.#used - 1] as number);
    while (this.#used <= bin) {
      this.#most[this.#used] = held;
      this.#last[this.#used] = held;
      this.#used++;
    }
    // What it was when the bin began was, if for a moment only, in this bin too.
    this.#most[bin] = Math.max(this.#most[bin] as number, value);
    this.#last[bin] = value;
  }

  #halve(): void {
    const half = Math.ceil(this.#used / 2);
    for (let i = 0; i < half; i++) {
      const second = Math.min(2 * i + 1, this.#used - 1);
      this.#most[i] = Math.max(this.#most[2 * i] as number, this.#most[second] as number);
      this.#last[i] = this.#last[second] as number;
    }
    this.#used = half;
    this.#width *= 2;
  }

  /** When it changed, ns, and the greatest value until it changed next; ends with what it was last. */
  steps(): readonly (readonly [time: number, value: number])[] {
    const steps: [number, number][] = [];
    for (let i = 0; i < this.#used; i++) {
      const value = this.#most[i] as number;
      if (steps.at(-1)?.[1] !== value) steps.push([i * this.#width, value]);
    }
    const last = this.#last[this.#used - 1];
    if (last !== undefined && steps.at(-1)?.[1] !== last) steps.push([this.#used * this.#width, last]);
    return steps;
  }
}
