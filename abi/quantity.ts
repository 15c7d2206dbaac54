// SPDX-License-Identifier: Apache-2.0
import { UserError } from './user-error.js';

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};
const TIME_UNITS: Readonly<Record<string, number>> = {
  us: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  min: 60e9,
  h: 3600e9,
};

export interface Bounds {
  readonly least: number;
  readonly most: number;
}

/** `64M`, `1.5G`, `65536`: bytes. `what` names the option in the error. */
export function parseSize(text: string, what: string, { least, most }: Bounds): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(text.trim()) ?? [];
  const scale = SIZE_UNITS[(unit ?? '').toUpperCase()];
  if (number === undefined || scale === undefined) {
    throw new UserError(`${what}: '${text}' is no size; write it like 64M or 2G`);
  }
  const bytes = Math.round(Number(number) * scale);
  if (bytes < least) throw new UserError(`${what}: ${text} is too small; at least ${formatSize(least)}`);
  if (bytes > most) throw new UserError(`${what}: ${text} is too large; at most ${formatSize(most)}`);
  return bytes;
}

/** `10s`, `500ms`, `2m`: nanoseconds. */
export function parseDuration(text: string, what: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(us|ms|s|m|min|h)$/.exec(text.trim()) ?? [];
  const scale = unit === undefined ? undefined : TIME_UNITS[unit];
  if (number === undefined || scale === undefined) {
    throw new UserError(`${what}: '${text}' is no time; write it like 10s, 500ms or 2m`);
  }
  const ns = Math.round(Number(number) * scale);
  if (ns <= 0) throw new UserError(`${what}: the time must be more than nothing`);
  return ns;
}

/** For people: 1.5 MiB, 20 GiB. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  let value = bytes;
  let unit = '';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

/** For people: 3.2 s, 250 ms, 4 min 10 s. */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(0)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}
