// SPDX-License-Identifier: Apache-2.0
/** One unit for all numbers of an axis, named beside it. */
export interface Unit {
  readonly name: string;
  readonly scale: number;
}

const TIMES: readonly Unit[] = [
  { name: 's', scale: 1e9 },
  { name: 'ms', scale: 1e6 },
  { name: 'µs', scale: 1e3 },
  { name: 'ns', scale: 1 },
];
const SIZES: readonly Unit[] = [
  { name: 'TiB', scale: 2 ** 40 },
  { name: 'GiB', scale: 2 ** 30 },
  { name: 'MiB', scale: 2 ** 20 },
  { name: 'KiB', scale: 2 ** 10 },
  { name: 'bytes', scale: 1 },
];
const COUNTS: readonly Unit[] = [
  { name: 'G', scale: 1e9 },
  { name: 'M', scale: 1e6 },
  { name: 'k', scale: 1e3 },
  { name: '', scale: 1 },
];

function unitFor(units: readonly Unit[], most: number): Unit {
  return units.find(({ scale }) => most >= scale) ?? (units.at(-1) as Unit);
}

/** For an axis that goes up to so many nanoseconds. */
export function timeUnit(mostNs: number): Unit {
  return unitFor(TIMES, mostNs);
}

/** For an axis that goes up to so many bytes. */
export function sizeUnit(mostBytes: number): Unit {
  return unitFor(SIZES, mostBytes);
}

/** For an axis that goes up to so many of anything. */
export function countUnit(most: number): Unit {
  return unitFor(COUNTS, most);
}

/** `1,234,567`; with a word, `1 write`, `2 writes`. */
export function countText(count: number, word?: string): string {
  const number = count.toLocaleString('en-US');
  return word === undefined ? number : `${number} ${word}${count === 1 ? '' : 's'}`;
}

/** `12.3 ms`, three digits. */
export function timeSpanText(ns: number): string {
  const { name, scale } = timeUnit(Math.abs(ns));
  return `${threeDigits(ns / scale)} ${name}`;
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** `1.25 MiB`, three digits. */
export function sizeText(bytes: number): string {
  const { name, scale } = sizeUnit(bytes);
  return `${threeDigits(bytes / scale)} ${name}`;
}
