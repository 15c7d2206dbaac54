// SPDX-License-Identifier: Apache-2.0
/** Messages put together by hand, for the exporter that writes millions of them: protobuf.dev/programming-guides/encoding. */

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const WORD = 0x1_0000_0000;

const encoder = new TextEncoder();

export class MessageWriter {
  #bytes = new Uint8Array(1 << 12);
  length = 0;

  clear(): this {
    this.length = 0;
    return this;
  }

  /** Good until something more is written. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
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
    new DataView(this.#bytes.buffer).setUint32(this.length, value >>> 0, true);
    new DataView(this.#bytes.buffer).setUint32(this.length + 4, Math.floor(value / WORD), true);
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
    const bytes = this.#bytes;
    let rest = value;
    while (rest >= 0x80) {
      bytes[this.length++] = rest < 0x8000_0000 ? (rest & 0x7f) | 0x80 : (rest % 0x80) | 0x80;
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    bytes[this.length++] = rest;
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + bytes));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}
