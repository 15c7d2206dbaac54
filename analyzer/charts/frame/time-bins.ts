// SPDX-License-Identifier: Apache-2.0
/** A quantity over time in constant memory: its least and its greatest value in each of so many bins, which widen as time goes on. */
export interface Step {
  /** ns */
  readonly time: number;
  readonly least: number;
  readonly most: number;
}

export class TimeBins {
  readonly #least: Float64Array;
  readonly #most: Float64Array;
  readonly #last: Float64Array;
  #used = 0;
  #width: number;

  /** `width`: of a bin at first, ns. */
  constructor(bins = 2048, width = 1024) {
    this.#least = new Float64Array(bins);
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
      this.#least[this.#used] = held;
      this.#most[this.#used] = held;
      this.#last[this.#used] = held;
      this.#used++;
    }
    // What it was when the bin began was, if for a moment only, in this bin too.
    this.#least[bin] = Math.min(this.#least[bin] as number, value);
    this.#most[bin] = Math.max(this.#most[bin] as number, value);
    this.#last[bin] = value;
  }

  #halve(): void {
    const half = Math.ceil(this.#used / 2);
    for (let i = 0; i < half; i++) {
      const second = Math.min(2 * i + 1, this.#used - 1);
      this.#least[i] = Math.min(this.#least[2 * i] as number, this.#least[second] as number);
      this.#most[i] = Math.max(this.#most[2 * i] as number, this.#most[second] as number);
      this.#last[i] = this.#last[second] as number;
    }
    this.#used = half;
    this.#width *= 2;
  }

  /** When it changed, ns, and what it was until it changed next; ends with what it was last. */
  steps(): readonly Step[] {
    const steps: Step[] = [];
    const add = (bin: number, least: number, most: number): void => {
      const before = steps.at(-1);
      if (before?.least !== least || before.most !== most)
        steps.push({ time: bin * this.#width, least, most });
    };
    for (let i = 0; i < this.#used; i++) add(i, this.#least[i] as number, this.#most[i] as number);
    const last = this.#last[this.#used - 1];
    if (last !== undefined) add(this.#used, last, last);
    return steps;
  }
}
