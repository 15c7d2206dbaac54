// SPDX-License-Identifier: Apache-2.0
/** How numbers and foreign text are written, everywhere that a person reads them. */

/** 0x…, exact for any 64-bit number; a negative one keeps its sign. */
export function hex(value: number | bigint): string {
  if (typeof value === 'number') return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
  if (value < 0n) return `-0x${(-value).toString(16)}`;
  // Number's toString is several times faster than BigInt's, and most values are small.
  return value <= 0xffff_ffffn ? `0x${Number(value).toString(16)}` : `0x${value.toString(16)}`;
}

/** Hexadecimal with as many digits as `bytes` holds: a register is easier to compare at its full width. */
export function hexWidth(value: number | bigint, bytes: number): string {
  // As in hex: a Number where it is exact.
  const digits = (bytes <= 6 && value >= 0 ? Number(value) : value).toString(16);
  return `0x${digits.padStart(bytes * 2, '0')}`;
}

const units = [
  ['T', 1n << 40n],
  ['G', 1n << 30n],
  ['M', 1n << 20n],
  ['K', 1n << 10n],
] as const;

/** A length without loss: 2M, 4K, or the number of bytes when it is no whole multiple. */
export function size(value: number | bigint): string {
  const bytes = BigInt(value);
  if (bytes > 0n) for (const [unit, one] of units) if (bytes % one === 0n) return `${bytes / one}${unit}`;
  return bytes >= 1n << 20n ? hex(bytes) : String(bytes);
}

const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The bytes as hexadecimal, at most `limit` of them, with what was left out said. */
export function hexBytes(bytes: Uint8Array, limit = 32): string {
  let text = '';
  const shown = Math.min(bytes.length, limit);
  for (let i = 0; i < shown; i++) text += hexPairs[bytes[i] as number];
  return shown < bytes.length ? `${text}…+${bytes.length - shown}` : text;
}

/** `1 event`, `1,234 events`. */
export function countText(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`;
}

// C0 and C1 controls, DEL, and what would reorder or hide text on a terminal (bidirectional and zero-width marks).
const unsafe = /[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;
const unsafeAll = new RegExp(unsafe.source, 'gu');

/** Text of a trace is foreign: nothing of it may steer the reader's terminal or break a line in two. */
export function escapeText(text: string): string {
  if (!unsafe.test(text)) return text;
  return text.replace(unsafeAll, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${hexPairs[code]}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

const decoder = new TextDecoder();

/** Bytes as text up to the first NUL, made safe. */
export function textOf(bytes: Uint8Array, limit = 4096): string {
  const nul = bytes.indexOf(0);
  const end = Math.min(nul < 0 ? bytes.length : nul, limit);
  return escapeText(decoder.decode(bytes.subarray(0, end)));
}

/** In lines that fit; a word that doesn't has a line of its own. */
export function wrapText(text: string, fits: (line: string) => boolean): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && !fits(longer)) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}
