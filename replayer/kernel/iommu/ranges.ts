// SPDX-License-Identifier: Apache-2.0
/** Ranges of I/O virtual addresses, ends inclusive because the last one may be 2^64-1. */

export interface Range {
  readonly start: bigint;
  readonly last: bigint;
}

export const LAST_ADDRESS = 2n ** 64n - 1n;

export function lower(a: bigint, b: bigint): bigint {
  return a <= b ? a : b;
}

export function higher(a: bigint, b: bigint): bigint {
  return a >= b ? a : b;
}

export function overlaps(a: Range, b: Range): boolean {
  return a.start <= b.last && b.start <= a.last;
}

/** What is left of the ranges without one; order is kept. */
export function without(ranges: readonly Range[], hole: Range): readonly Range[] {
  return ranges.flatMap((range) => {
    if (!overlaps(range, hole)) return [range];
    const left: Range[] = [];
    if (hole.start > range.start) left.push({ start: range.start, last: hole.start - 1n });
    if (hole.last < range.last) left.push({ start: hole.last + 1n, last: range.last });
    return left;
  });
}

export function withoutAll(ranges: readonly Range[], holes: readonly Range[]): readonly Range[] {
  return holes.reduce(without, ranges);
}
