// SPDX-License-Identifier: Apache-2.0
/** The Payloads message of a chunk: written and read by hand, since an ioctl-heavy chunk has tens of thousands. */
import {
  CHUNK_PAYLOAD_BYTES,
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

export function decodePayloads(bytes: Uint8Array, events: number, into: PayloadColumns): void {
  into.clear();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;

  function varint(end: number): number {
    let value = 0;
    let scale = 1;
    for (let n = 0; n < 10; n++) {
      if (at >= end) {
        throw new MalformedChunk('a payload ends in the middle of a number');
      }
      const byte = bytes[at++] as number;
      if (n < 5) {
        value += (byte & 0x7f) * scale;
        scale *= 128;
      }
      if (byte < 0x80) {
        return value % 4294967296;
      }
    }
    throw new MalformedChunk('a number in a payload does not end');
  }

  function skip(tag: number, end: number): void {
    switch (tag & 7) {
      case 0:
        varint(end);
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint(end);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new MalformedChunk(`wire type ${tag & 7} in a payload`);
    }
    if (at > end) {
      throw new MalformedChunk('a field leaves its payload');
    }
  }

  let lastEvent = 0;
  while (at < bytes.length) {
    const outerTag = varint(bytes.length);
    if (outerTag !== 0x0a) {
      skip(outerTag, bytes.length);
      continue;
    }
    const length = varint(bytes.length);
    const end = at + length;
    if (end > bytes.length) {
      throw new MalformedChunk('a payload leaves its chunk');
    }
    let event = 0;
    let role = 0;
    let index = 0;
    let flags = 0;
    let address = 0n;
    let dataAt = at;
    let size = 0;
    while (at < end) {
      const tag = varint(end);
      switch (tag) {
        case 0x08:
          event = varint(end);
          break;
        case 0x10:
          role = varint(end);
          break;
        case 0x18:
          index = varint(end);
          break;
        case 0x21:
          if (end - at < 8) {
            throw new MalformedChunk('a payload ends in the middle of its address');
          }
          address = view.getBigUint64(at, true);
          at += 8;
          break;
        case 0x28:
          flags = varint(end) !== 0 ? flags | PAYLOAD_CUT : flags & ~PAYLOAD_CUT;
          break;
        case 0x30:
          flags = varint(end) !== 0 ? flags | PAYLOAD_FAULT : flags & ~PAYLOAD_FAULT;
          break;
        case 0x38:
          flags = varint(end) !== 0 ? flags | PAYLOAD_REDACTED : flags & ~PAYLOAD_REDACTED;
          break;
        case 0x42:
          size = varint(end);
          dataAt = at;
          if (size > end - at) {
            throw new MalformedChunk('the data of a payload leaves it');
          }
          at += size;
          break;
        default:
          skip(tag, end);
      }
    }
    if (event >= events || event < lastEvent) {
      throw new MalformedChunk(`payloads out of order: event ${event} after ${lastEvent}, of ${events}`);
    }
    if (!into.hasRoom(1, size)) {
      throw new MalformedChunk(
        `more than ${CHUNK_PAYLOADS} payloads or ${CHUNK_PAYLOAD_BYTES} bytes of them`,
      );
    }
    lastEvent = event;
    const start = into.add(event, role, index, flags, address, size);
    into.bytes.set(bytes.subarray(dataAt, dataAt + size), start);
  }
}
