// SPDX-License-Identifier: Apache-2.0
/**
 * Perfetto's packets of single events, of which an export has millions: put together where they go, since each level of a message by
 * itself would be copied once more.
 */
import { type MessageWriter, putVarint, varintBytes } from './protobuf-writer.js';

/** Copying byte by byte is faster than the call of set() up to here. */
const SHORT = 24;
const TRACE_PACKET = (1 << 3) | 2;
const TIMESTAMP = 8 << 3;
const TRACK_EVENT = (11 << 3) | 2;
const TYPE = 9 << 3;
/** Tags, two lengths, time and type. */
const FRAME_BYTES = 40;

export class PacketBuffer {
  #bytes = new Uint8Array(1 << 17);
  length = 0;
  /** The fields of each event's packet that are always the same. */
  readonly #start: Uint8Array;

  constructor(start: Uint8Array) {
    this.#start = start;
  }

  /** Good until something more is written. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  packet(packet: Uint8Array): void {
    this.#room(FRAME_BYTES + packet.length);
    this.#bytes[this.length++] = TRACE_PACKET;
    this.#varint(packet.length);
    this.#append(packet, packet.length);
  }

  /** `fields`, `own`: of the TrackEvent, beside its type. `time`: ns. */
  event(time: number, type: number, fields: Uint8Array, own: MessageWriter): void {
    const start = this.#start;
    const event = 2 + fields.length + own.length;
    this.#room(FRAME_BYTES + start.length + event);
    const bytes = this.#bytes;
    bytes[this.length++] = TRACE_PACKET;
    this.#varint(start.length + 1 + varintBytes(time) + 1 + varintBytes(event) + event);
    this.#append(start, start.length);
    bytes[this.length++] = TIMESTAMP;
    this.#varint(time);
    bytes[this.length++] = TRACK_EVENT;
    this.#varint(event);
    bytes[this.length++] = TYPE;
    bytes[this.length++] = type;
    this.#append(fields, fields.length);
    this.#append(own.buffer, own.length);
  }

  #append(from: Uint8Array, length: number): void {
    const bytes = this.#bytes;
    const at = this.length;
    if (length > SHORT && length === from.length) bytes.set(from, at);
    else for (let n = 0; n < length; n++) bytes[at + n] = from[n] as number;
    this.length = at + length;
  }

  #varint(value: number): void {
    this.length = putVarint(this.#bytes, this.length, value);
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * this.#bytes.length + bytes);
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}
