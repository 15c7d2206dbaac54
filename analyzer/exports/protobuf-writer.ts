// SPDX-License-Identifier: Apache-2.0
/** Messages put together by hand, for the exporter that writes millions of them: protobuf.dev/programming-guides/encoding. */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const WORD = 0x1_0000_0000;

const encoder = new TextEncoder();

/** Bytes of a whole number from 0 to 2^53. */
export function varintBytes(value: number): number {
  if (value < 0x1000_0000) return value < 0x4000 ? (value < 0x80 ? 1 : 2) : value < 0x20_0000 ? 3 : 4;
  return 4 + varintBytes(Math.floor(value / 0x1000_0000));
}

/** A whole number from 0 to 2^53 at `at`; answers where it ends. There must be room for eight bytes. */
export function putVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  if (rest >= 0x1000_0000) {
    // Below 32 bits, shifts and masks do: four groups of seven bits first.
    const high = Math.floor(rest / 0x1000_0000);
    const low = rest - high * 0x1000_0000;
    bytes[at++] = low | 0x80;
    bytes[at++] = (low >>> 7) | 0x80;
    bytes[at++] = (low >>> 14) | 0x80;
    bytes[at++] = (low >>> 21) | 0x80;
    rest = high;
  }
  while (rest >= 0x80) {
    bytes[at++] = rest | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

export class MessageWriter {
  #bytes = new Uint8Array(128);
  length = 0;

  clear(): this {
    this.length = 0;
    return this;
  }

  /** Good until something more is written. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** Of it, the first `length` bytes are written. */
  get buffer(): Uint8Array {
    return this.#bytes;
  }

  /** A whole number from 0 to 2^53. */
  number(field: number, value: number): this {
    this.#room(20);
    this.#varint(field * 8 + VARINT);
    this.#varint(value);
    return this;
  }

  /** A 64-bit number by its halves. */
  words(field: number, low: number, high: number): this {
    if (high < 0x20_0000) return this.number(field, low + high * WORD);
    this.#room(20);
    this.#varint(field * 8 + VARINT);
    const bytes = this.#bytes;
    for (let n = 0; n < 4; n++) bytes[this.length++] = ((low >>> (7 * n)) & 0x7f) | 0x80;
    let rest = (low >>> 28) + high * 16;
    while (rest >= 0x80) {
      bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    bytes[this.length++] = rest;
    return this;
  }

  bigint(field: number, value: bigint): this {
    const unsigned = BigInt.asUintN(64, value);
    return this.words(field, Number(unsigned & 0xffff_ffffn), Number(unsigned >> 32n));
  }

  /** fixed64 of a number up to 2^53. */
  fixed(field: number, value: number): this {
    this.#room(20);
    this.#varint(field * 8 + FIXED64);
    const bytes = this.#bytes;
    const high = Math.floor(value / WORD);
    for (let n = 0; n < 4; n++) {
      bytes[this.length + n] = value >>> (8 * n);
      bytes[this.length + 4 + n] = high >>> (8 * n);
    }
    this.length += 8;
    return this;
  }

  text(field: number, text: string): this {
    return this.message(field, encoder.encode(text));
  }

  /** A message, or any bytes. */
  message(field: number, bytes: Uint8Array): this {
    this.#room(20 + bytes.length);
    this.#varint(field * 8 + LENGTH);
    this.#varint(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  /** The message that another writer has put together. */
  nested(field: number, other: MessageWriter): this {
    const { length } = other;
    this.#room(20 + length);
    this.#varint(field * 8 + LENGTH);
    this.#varint(length);
    this.#copy(other.#bytes, length);
    return this;
  }

  /** Fields that are encoded already. */
  append(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#copy(bytes, bytes.length);
    return this;
  }

  /** Most are shorter than what a call of set() costs. */
  #copy(from: Uint8Array, length: number): void {
    const bytes = this.#bytes;
    const at = this.length;
    for (let n = 0; n < length; n++) bytes[at + n] = from[n] as number;
    this.length = at + length;
  }

  #varint(value: number): void {
    this.length = putVarint(this.#bytes, this.length, value);
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + bytes));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}
