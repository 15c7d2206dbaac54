// SPDX-License-Identifier: Apache-2.0
/**
 * How values are spread, in constant memory: counted in buckets that grow with the value, 64 to each power of two. Below 128 a
 * bucket is one value; above it is 1/64 of its value wide at most, and its middle stands for it: count, sum, smallest and
 * largest are exact, a quantile is off by at most QUANTILE_ERROR of its value.
 */

const PARTS_BITS = 6;
const PARTS = 1 << PARTS_BITS;
const EXACT = 2 * PARTS;
/** Values are below 2^53. */
const BUCKETS = (53 - PARTS_BITS) * PARTS + PARTS;

/** Of the value: half a bucket. */
export const QUANTILE_ERROR = 1 / EXACT;

/** Values are whole numbers from 0 to 2^53. */
export class Histogram {
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;
  /** Counts of buckets `#first` and following: most series stay within a few powers of two. */
  #counts = new Float64Array(0);
  #first = 0;

  add(value: number): void {
    this.count++;
    this.sum += value;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    const bucket = bucketOf(value);
    if (bucket < this.#first || bucket >= this.#first + this.#counts.length) this.#reach(bucket);
    const place = bucket - this.#first;
    this.#counts[place] = (this.#counts[place] as number) + 1;
  }

  addAll(other: Histogram): void {
    if (other.count === 0) return;
    this.count += other.count;
    this.sum += other.sum;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    this.#reach(other.#first);
    this.#reach(other.#first + other.#counts.length - 1);
    for (let n = 0; n < other.#counts.length; n++) {
      const place = other.#first + n - this.#first;
      this.#counts[place] = (this.#counts[place] as number) + (other.#counts[n] as number);
    }
  }

  /** The smallest value that at least this part of all values does not exceed; `part` is 0 to 1. */
  quantile(part: number): number {
    if (this.count === 0) return 0;
    const rank = Math.max(1, Math.ceil(part * this.count - 1e-9));
    let seen = 0;
    for (let n = 0; n < this.#counts.length; n++) {
      seen += this.#counts[n] as number;
      if (seen >= rank) {
        const [from, to] = boundsOf(this.#first + n);
        return Math.min(this.max, Math.max(this.min, Math.floor((from + to - 1) / 2)));
      }
    }
    return this.max;
  }

  /** Buckets that are not empty, in order: values from `from` up to, but not including, `to`. */
  *buckets(): Generator<
    { readonly from: number; readonly to: number; readonly count: number },
    void,
    undefined
  > {
    for (let n = 0; n < this.#counts.length; n++) {
      const count = this.#counts[n] as number;
      if (count === 0) continue;
      const [from, to] = boundsOf(this.#first + n);
      yield { from, to, count };
    }
  }

  #reach(bucket: number): void {
    const { length } = this.#counts;
    if (length > 0 && bucket >= this.#first && bucket < this.#first + length) return;
    const first = Math.max(0, Math.min(length === 0 ? bucket : this.#first, bucket - (bucket % PARTS)));
    const last = Math.min(
      BUCKETS - 1,
      Math.max(length === 0 ? bucket : this.#first + length - 1, bucket) | (PARTS - 1),
    );
    const counts = new Float64Array(last - first + 1);
    if (length > 0) counts.set(this.#counts, this.#first - first);
    this.#counts = counts;
    this.#first = first;
  }
}

function bucketOf(value: number): number {
  if (value < EXACT) return value | 0;
  if (value < 0x1_0000_0000) {
    const shift = 31 - Math.clz32(value) - PARTS_BITS;
    return shift * PARTS + (value >>> shift);
  }
  let shift = 32 - PARTS_BITS;
  while (value >= 2 ** (shift + PARTS_BITS + 1)) shift++;
  return Math.min(BUCKETS - 1, shift * PARTS + Math.floor(value / 2 ** shift));
}

function boundsOf(bucket: number): readonly [from: number, to: number] {
  if (bucket < EXACT) return [bucket, bucket + 1];
  const shift = Math.floor(bucket / PARTS) - 1;
  const part = bucket - shift * PARTS;
  return [part * 2 ** shift, (part + 1) * 2 ** shift];
}
