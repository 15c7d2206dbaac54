// SPDX-License-Identifier: Apache-2.0
/** The Payloads message of a chunk: written and read by hand, since an ioctl-heavy chunk has tens of thousands. */
import {
  CHUNK_PAYLOADS,
  PAYLOAD_CUT,
  PAYLOAD_FAULT,
  PAYLOAD_REDACTED,
  type PayloadColumns,
} from './columns.js';
import { MalformedChunk } from './decode.js';
import { putVarint } from './frame.js';

/** Bytes of a Payload before its data, at most: event, role and index, address, three flags, data's length. */
const HEAD_BYTES = 6 + 6 + 6 + 9 + 6 + 6;

export function encodePayloads(payloads: PayloadColumns): Uint8Array {
  const out = new Uint8Array(payloads.bytesUsed + payloads.length * (HEAD_BYTES + 6));
  const view = new DataView(out.buffer);
  const head = new Uint8Array(HEAD_BYTES);
  const headView = new DataView(head.buffer);
  let at = 0;
  for (let n = 0; n < payloads.length; n++) {
    const size = payloads.size[n] as number;
    const flags = payloads.flags[n] as number;
    const address = payloads.address[n] as bigint;
    let length = 0;
    length = field(head, length, 0x08, payloads.event[n] as number);
    length = field(head, length, 0x10, payloads.role[n] as number);
    length = field(head, length, 0x18, payloads.index[n] as number);
    if (address !== 0n) {
      head[length] = 0x21;
      headView.setBigUint64(length + 1, address, true);
      length += 9;
    }
    length = field(head, length, 0x28, flags & PAYLOAD_CUT ? 1 : 0);
    length = field(head, length, 0x30, flags & PAYLOAD_FAULT ? 1 : 0);
    length = field(head, length, 0x38, flags & PAYLOAD_REDACTED ? 1 : 0);
    length = field(head, length, 0x42, size);
    view.setUint8(at, 0x0a);
    at = putVarint(out, at + 1, length + size);
    out.set(head.subarray(0, length), at);
    at += length;
    const start = payloads.start[n] as number;
    out.set(payloads.bytes.subarray(start, start + size), at);
    at += size;
  }
  return out.subarray(0, at);
}

/** Numbers that are 0 are left out, as proto3 does. */
function field(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) {
    return at;
  }
  bytes[at] = tag;
  return putVarint(bytes, at + 1, value);
}

/** Takes the payloads out of their encoded bytes, which `into` keeps: the data is not copied once more. */
export function decodePayloads(bytes: Uint8Array, events: number, into: PayloadColumns): void {
  const cursor = new Cursor(bytes);
  into.clear();
  into.adopt(bytes);
  let lastEvent = 0;
  while (cursor.at < bytes.length) {
    const outerTag = cursor.varint();
    if (outerTag !== 0x0a) {
      cursor.skip(outerTag);
      continue;
    }
    const length = cursor.varint();
    if (length > bytes.length - cursor.at) {
      throw new MalformedChunk('a payload leaves its chunk');
    }
    const event = readPayload(cursor, cursor.at + length, into);
    if (event >= events || event < lastEvent) {
      throw new MalformedChunk(`payloads out of order: event ${event} after ${lastEvent}, of ${events}`);
    }
    lastEvent = event;
  }
}

class Cursor {
  at = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Its low 32 bits; numbers of up to ten bytes are allowed, as everywhere in protobuf. */
  varint(): number {
    const byte = this.bytes[this.at];
    if (byte !== undefined && byte < 0x80) {
      this.at++;
      return byte;
    }
    return this.longVarint();
  }

  private longVarint(): number {
    const { bytes } = this;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= bytes.length) {
        throw new MalformedChunk('the payloads end in the middle of a number');
      }
      const byte = bytes[this.at++] as number;
      if (shift < 32) {
        value |= (byte & 0x7f) << shift;
      }
      if (byte < 0x80) {
        return value >>> 0;
      }
    }
    throw new MalformedChunk('a number in a payload does not end');
  }

  fixed64(): bigint {
    if (this.bytes.length - this.at < 8) {
      throw new MalformedChunk('the payloads end in the middle of an address');
    }
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }

  /** Steps over so many bytes and returns where they begin. */
  take(length: number): number {
    if (length > this.bytes.length - this.at) {
      throw new MalformedChunk('a payload leaves its chunk');
    }
    this.at += length;
    return this.at - length;
  }

  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.varint();
        break;
      case 1:
        this.take(8);
        break;
      case 2:
        this.take(this.varint());
        break;
      case 5:
        this.take(4);
        break;
      default:
        throw new MalformedChunk(`wire type ${tag & 7} in a payload`);
    }
  }
}

/** Returns the event's number. */
function readPayload(cursor: Cursor, end: number, into: PayloadColumns): number {
  let event = 0;
  let role = 0;
  let index = 0;
  let flags = 0;
  let address = 0n;
  let start = end;
  let size = 0;
  while (cursor.at < end) {
    const tag = cursor.varint();
    switch (tag) {
      case 0x08:
        event = cursor.varint();
        break;
      case 0x10:
        role = cursor.varint();
        break;
      case 0x18:
        index = cursor.varint();
        break;
      case 0x21:
        address = cursor.fixed64();
        break;
      case 0x28:
        flags = withFlag(flags, PAYLOAD_CUT, cursor.varint());
        break;
      case 0x30:
        flags = withFlag(flags, PAYLOAD_FAULT, cursor.varint());
        break;
      case 0x38:
        flags = withFlag(flags, PAYLOAD_REDACTED, cursor.varint());
        break;
      case 0x42:
        size = cursor.varint();
        start = cursor.take(size);
        break;
      default:
        cursor.skip(tag);
    }
  }
  if (cursor.at !== end) {
    throw new MalformedChunk('a field leaves its payload');
  }
  if (into.length === CHUNK_PAYLOADS) {
    throw new MalformedChunk(`more than ${CHUNK_PAYLOADS} payloads`);
  }
  into.refer(event, role, index, flags, address, start, size);
  return event;
}

function withFlag(flags: number, flag: number, set: number): number {
  return set !== 0 ? flags | flag : flags & ~flag;
}
