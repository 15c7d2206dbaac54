// SPDX-License-Identifier: Apache-2.0
/**
 * The loops of decoding: one for each transform and target, over the same kinds of typed arrays each time, since that
 * is what V8 turns into straight machine code. Unrolled by hand: V8 does not, and a loop's own work is more than that
 * of a lookup (2.4 ns an event became 1.0). Widening is left to TypedArray.set, ten times as fast. Escapes split a loop
 * instead of being looked for in it.
 */

/** Puts numbers of width 2 or 4 together from their byte planes. */
export function gather(planes: Uint8Array, width: number, out: Uint32Array, count: number): void {
  let n = 0;
  if (width === 2) {
    for (const whole = count & ~3; n < whole; n += 4) {
      out[n] = (planes[n] as number) | ((planes[n + count] as number) << 8);
      out[n + 1] = (planes[n + 1] as number) | ((planes[n + 1 + count] as number) << 8);
      out[n + 2] = (planes[n + 2] as number) | ((planes[n + 2 + count] as number) << 8);
      out[n + 3] = (planes[n + 3] as number) | ((planes[n + 3 + count] as number) << 8);
    }
    for (; n < count; n++) {
      out[n] = (planes[n] as number) | ((planes[n + count] as number) << 8);
    }
    return;
  }
  for (; n < count; n++) {
    out[n] =
      (planes[n] as number) |
      ((planes[n + count] as number) << 8) |
      ((planes[n + 2 * count] as number) << 16) |
      ((planes[n + 3 * count] as number) << 24);
  }
}

export function fillPairs(pairs: Uint32Array, count: number, low: number, high: number): void {
  for (let n = 0; n < count; n++) {
    pairs[2 * n] = low;
    pairs[2 * n + 1] = high;
  }
}

/*
 * The same code three times: a function that sees several kinds of typed arrays is compiled for none of them.
 */
export function lookup8(shapes: Uint16Array, table: Uint32Array, out: Uint8Array, events: number): void {
  let i = 0;
  for (const whole = events & ~7; i < whole; i += 8) {
    out[i] = table[shapes[i] as number] as number;
    out[i + 1] = table[shapes[i + 1] as number] as number;
    out[i + 2] = table[shapes[i + 2] as number] as number;
    out[i + 3] = table[shapes[i + 3] as number] as number;
    out[i + 4] = table[shapes[i + 4] as number] as number;
    out[i + 5] = table[shapes[i + 5] as number] as number;
    out[i + 6] = table[shapes[i + 6] as number] as number;
    out[i + 7] = table[shapes[i + 7] as number] as number;
  }
  for (; i < events; i++) {
    out[i] = table[shapes[i] as number] as number;
  }
}

export function lookup16(shapes: Uint16Array, table: Uint32Array, out: Uint16Array, events: number): void {
  let i = 0;
  for (const whole = events & ~7; i < whole; i += 8) {
    out[i] = table[shapes[i] as number] as number;
    out[i + 1] = table[shapes[i + 1] as number] as number;
    out[i + 2] = table[shapes[i + 2] as number] as number;
    out[i + 3] = table[shapes[i + 3] as number] as number;
    out[i + 4] = table[shapes[i + 4] as number] as number;
    out[i + 5] = table[shapes[i + 5] as number] as number;
    out[i + 6] = table[shapes[i + 6] as number] as number;
    out[i + 7] = table[shapes[i + 7] as number] as number;
  }
  for (; i < events; i++) {
    out[i] = table[shapes[i] as number] as number;
  }
}

export function lookup32(shapes: Uint16Array, table: Uint32Array, out: Uint32Array, events: number): void {
  let i = 0;
  for (const whole = events & ~7; i < whole; i += 8) {
    out[i] = table[shapes[i] as number] as number;
    out[i + 1] = table[shapes[i + 1] as number] as number;
    out[i + 2] = table[shapes[i + 2] as number] as number;
    out[i + 3] = table[shapes[i + 3] as number] as number;
    out[i + 4] = table[shapes[i + 4] as number] as number;
    out[i + 5] = table[shapes[i + 5] as number] as number;
    out[i + 6] = table[shapes[i + 6] as number] as number;
    out[i + 7] = table[shapes[i + 7] as number] as number;
  }
  for (; i < events; i++) {
    out[i] = table[shapes[i] as number] as number;
  }
}

/** 64 bits at once: the bigints never exist outside of registers. */
export function lookup64(
  shapes: Uint16Array,
  table: BigUint64Array,
  out: BigUint64Array,
  events: number,
): void {
  let i = 0;
  for (const whole = events & ~3; i < whole; i += 4) {
    out[i] = table[shapes[i] as number] as bigint;
    out[i + 1] = table[shapes[i + 1] as number] as bigint;
    out[i + 2] = table[shapes[i + 2] as number] as bigint;
    out[i + 3] = table[shapes[i + 3] as number] as bigint;
  }
  for (; i < events; i++) {
    out[i] = table[shapes[i] as number] as bigint;
  }
}

export function largestOf(shapes: Uint16Array, events: number): number {
  let first = 0;
  let second = 0;
  let i = 0;
  for (const whole = events & ~3; i < whole; i += 4) {
    first = Math.max(first, shapes[i] as number, shapes[i + 1] as number);
    second = Math.max(second, shapes[i + 2] as number, shapes[i + 3] as number);
  }
  for (; i < events; i++) {
    first = Math.max(first, shapes[i] as number);
  }
  return Math.max(first, second);
}

export function plain(
  numbers: Uint32Array,
  escapeAt: Uint32Array,
  escapeWords: Uint32Array,
  escapes: number,
  out: Uint32Array,
  events: number,
  baseLow: number,
  baseHigh: number,
): void {
  if (baseLow === 0 && baseHigh === 0) {
    let i = 0;
    for (const whole = events & ~3; i < whole; i += 4) {
      const at = 2 * i;
      out[at] = numbers[i] as number;
      out[at + 1] = 0;
      out[at + 2] = numbers[i + 1] as number;
      out[at + 3] = 0;
      out[at + 4] = numbers[i + 2] as number;
      out[at + 5] = 0;
      out[at + 6] = numbers[i + 3] as number;
      out[at + 7] = 0;
    }
    for (; i < events; i++) {
      out[2 * i] = numbers[i] as number;
      out[2 * i + 1] = 0;
    }
  } else {
    // In 32 bits throughout: a sum of more would be a double. A carry is the top bit of what both, or one and no sum, have.
    const low = baseLow | 0;
    const high = baseHigh | 0;
    let i = 0;
    for (const whole = events & ~3; i < whole; i += 4) {
      const at = 2 * i;
      const first = (numbers[i] as number) | 0;
      const second = (numbers[i + 1] as number) | 0;
      const third = (numbers[i + 2] as number) | 0;
      const fourth = (numbers[i + 3] as number) | 0;
      const firstSum = (first + low) | 0;
      const secondSum = (second + low) | 0;
      const thirdSum = (third + low) | 0;
      const fourthSum = (fourth + low) | 0;
      out[at] = firstSum;
      out[at + 1] = high + (((first & low) | ((first | low) & ~firstSum)) >>> 31);
      out[at + 2] = secondSum;
      out[at + 3] = high + (((second & low) | ((second | low) & ~secondSum)) >>> 31);
      out[at + 4] = thirdSum;
      out[at + 5] = high + (((third & low) | ((third | low) & ~thirdSum)) >>> 31);
      out[at + 6] = fourthSum;
      out[at + 7] = high + (((fourth & low) | ((fourth | low) & ~fourthSum)) >>> 31);
    }
    for (; i < events; i++) {
      const number = (numbers[i] as number) | 0;
      const sum = (number + low) | 0;
      out[2 * i] = sum;
      out[2 * i + 1] = high + (((number & low) | ((number | low) & ~sum)) >>> 31);
    }
  }
  for (let e = 0; e < escapes; e++) {
    const at = 2 * (escapeAt[e] as number);
    const sum = (escapeWords[2 * e] as number) + baseLow;
    out[at] = sum;
    out[at + 1] = (escapeWords[2 * e + 1] as number) + baseHigh + (sum > 0xffffffff ? 1 : 0);
  }
}

export function delta(
  numbers: Uint32Array,
  escapeAt: Uint32Array,
  escapeWords: Uint32Array,
  escapes: number,
  out: Uint32Array,
  events: number,
  baseLow: number,
  baseHigh: number,
): void {
  let low = baseLow;
  let high = baseHigh;
  let i = 0;
  for (let e = 0; e <= escapes; e++) {
    const stop = escapeAt[e] as number;
    while (i < stop) {
      // Four at a time while the low word does not overflow.
      const first = low + (numbers[i] as number);
      if (i + 4 <= stop) {
        const second = first + (numbers[i + 1] as number);
        const third = second + (numbers[i + 2] as number);
        const fourth = third + (numbers[i + 3] as number);
        if (fourth <= 0xffffffff) {
          const at = 2 * i;
          out[at] = first;
          out[at + 1] = high;
          out[at + 2] = second;
          out[at + 3] = high;
          out[at + 4] = third;
          out[at + 5] = high;
          out[at + 6] = fourth;
          out[at + 7] = high;
          low = fourth;
          i += 4;
          continue;
        }
      }
      if (first > 0xffffffff) {
        high = (high + 1) >>> 0;
      }
      low = first >>> 0;
      out[2 * i] = low;
      out[2 * i + 1] = high;
      i++;
    }
    if (i < events) {
      const sum = low + (escapeWords[2 * e] as number);
      high = (high + (escapeWords[2 * e + 1] as number) + (sum > 0xffffffff ? 1 : 0)) >>> 0;
      low = sum >>> 0;
      out[2 * i] = low;
      out[2 * i + 1] = high;
      i++;
    }
  }
}

/** Adds a zigzag-coded 64-bit difference to the pair at `at`. */
export function addZigzag(pairs: Uint32Array, at: number, zigzagLow: number, zigzagHigh: number): void {
  const sign = -(zigzagLow & 1);
  const low = (((zigzagLow >>> 1) | (zigzagHigh << 31)) ^ sign) >>> 0;
  const high = (zigzagHigh >>> 1) ^ sign;
  const sum = (pairs[at] as number) + low;
  pairs[at] = sum;
  pairs[at + 1] = (pairs[at + 1] as number) + high + (sum > 0xffffffff ? 1 : 0);
}

/** One event's difference of at most 32 bits; small enough to be inlined. */
function shapeStep(last: Uint32Array, at: number, zigzag: number, out: Uint32Array, to: number): void {
  const sum = (last[at] as number) + ((zigzag >>> 1) ^ -(zigzag & 1));
  if (sum < 0) {
    last[at + 1] = (last[at + 1] as number) - 1;
  } else if (sum > 0xffffffff) {
    last[at + 1] = (last[at + 1] as number) + 1;
  }
  last[at] = sum;
  out[to] = sum;
  out[to + 1] = last[at + 1] as number;
}

export function shapeDelta(
  numbers: Uint32Array,
  escapeAt: Uint32Array,
  escapeWords: Uint32Array,
  escapes: number,
  shapes: Uint16Array,
  last: Uint32Array,
  out: Uint32Array,
  events: number,
): void {
  let i = 0;
  for (let e = 0; e <= escapes; e++) {
    const stop = escapeAt[e] as number;
    for (; i + 2 <= stop; i += 2) {
      shapeStep(last, 2 * (shapes[i] as number), numbers[i] as number, out, 2 * i);
      shapeStep(last, 2 * (shapes[i + 1] as number), numbers[i + 1] as number, out, 2 * i + 2);
    }
    if (i < stop) {
      shapeStep(last, 2 * (shapes[i] as number), numbers[i] as number, out, 2 * i);
      i++;
    }
    if (i < events) {
      const at = 2 * (shapes[i] as number);
      addZigzag(last, at, escapeWords[2 * e] as number, escapeWords[2 * e + 1] as number);
      out[2 * i] = last[at] as number;
      out[2 * i + 1] = last[at + 1] as number;
      i++;
    }
  }
}
