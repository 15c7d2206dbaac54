// SPDX-License-Identifier: Apache-2.0
/** The frame around every packet: Trace.packet's tag and length, sync word, checksum, the content's tag and length. */
import { crc32 } from 'node:zlib';
import { MAX_MESSAGE_BYTES, MAX_PACKET_BYTES } from './limits.js';

/** Field numbers of Packet's content. */
export const Content = {
  HEADER: 3,
  DEFINITIONS: 4,
  CHUNK: 5,
  SUMMARY: 6,
  INDEX: 7,
  TRAILER: 8,
} as const;

const PACKET_TAG = 0x0a;
const CRC_TAG = 0x15;
/** Tag of Packet.sync and the word itself. */
export const SYNC_BYTES = Buffer.from('\x09VTAPEPKT', 'latin1');
/** Enough bytes for everything before a content. */
export const FRAME_BYTES = 30;
/** A trailer's packet: every number in it has a fixed size. */
export const TRAILER_BYTES = 27;

export interface Frame {
  /** Bytes of the whole packet, its tag included. */
  readonly size: number;
  readonly crc: number;
  /** From the start of the packet: the first byte that the checksum covers. */
  readonly crcStart: number;
  readonly content: number;
  readonly contentStart: number;
  readonly contentLength: number;
}

export function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

/** Writes a varint of at most 32 bits and returns the position after it. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value >>> 0;
  let position = at;
  while (rest > 0x7f) {
    bytes[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[position++] = rest;
  return position;
}

/** A packet, in pieces that belong one after the other in the file. */
export function framed(content: number, body: readonly Uint8Array[]): Uint8Array[] {
  const length = body.reduce((sum, piece) => sum + piece.length, 0);
  const inner = 9 + 5 + 1 + varintBytes(length) + length;
  const head = new Uint8Array(1 + varintBytes(inner) + 9 + 5 + 1 + varintBytes(length));
  head[0] = PACKET_TAG;
  let at = putVarint(head, 1, inner);
  head.set(SYNC_BYTES, at);
  at += SYNC_BYTES.length;
  head[at] = CRC_TAG;
  const crcAt = at + 1;
  at += 5;
  const crcStart = at;
  head[at] = (content << 3) | 2;
  putVarint(head, at + 1, length);
  let crc = crc32(head.subarray(crcStart));
  for (const piece of body) {
    crc = crc32(piece, crc);
  }
  new DataView(head.buffer).setUint32(crcAt, crc, true);
  return [head, ...body];
}

function varintAt(
  bytes: Uint8Array,
  at: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  let scale = 1;
  for (let n = 0; n < 5; n++) {
    const byte = bytes[at + n];
    if (byte === undefined) {
      return undefined;
    }
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      return { value, end: at + n + 1 };
    }
    scale *= 128;
  }
  return undefined;
}

/** The frame of the packet that starts at the first of these bytes (FRAME_BYTES suffice), if one does. */
export function parseFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes[0] !== PACKET_TAG) {
    return undefined;
  }
  const inner = varintAt(bytes, 1);
  if (inner === undefined || inner.value > MAX_PACKET_BYTES) {
    return undefined;
  }
  const size = inner.end + inner.value;
  const crcAt = inner.end + SYNC_BYTES.length;
  if (bytes.length < crcAt + 5 || bytes[crcAt] !== CRC_TAG) {
    return undefined;
  }
  for (let n = 0; n < SYNC_BYTES.length; n++) {
    if (bytes[inner.end + n] !== SYNC_BYTES[n]) {
      return undefined;
    }
  }
  const crcStart = crcAt + 5;
  const crc = new DataView(bytes.buffer, bytes.byteOffset).getUint32(crcAt + 1, true);
  const tag = varintAt(bytes, crcStart);
  if (tag === undefined || tag.value % 8 !== 2) {
    return undefined;
  }
  const length = varintAt(bytes, tag.end);
  if (length === undefined || length.end + length.value > size) {
    return undefined;
  }
  const content = Math.floor(tag.value / 8);
  if (
    (content === Content.HEADER || content === Content.DEFINITIONS || content === Content.SUMMARY) &&
    length.value > MAX_MESSAGE_BYTES
  ) {
    return undefined;
  }
  return { size, crc, crcStart, content, contentStart: length.end, contentLength: length.value };
}

/** Whether a packet's bytes are those that were written. */
export function checksumFits(frame: Frame, packet: Uint8Array): boolean {
  return packet.length >= frame.size && crc32(packet.subarray(frame.crcStart, frame.size)) === frame.crc;
}

export function contentOf(frame: Frame, packet: Uint8Array): Uint8Array {
  return packet.subarray(frame.contentStart, frame.contentStart + frame.contentLength);
}

export function trailer(indexOffset: number): Uint8Array[] {
  const body = new Uint8Array(9);
  body[0] = 0x09;
  new DataView(body.buffer).setBigUint64(1, BigInt(indexOffset), true);
  return framed(Content.TRAILER, [body]);
}

/** The index's offset out of a trailer packet. */
export function trailerOffset(content: Uint8Array): number | undefined {
  if (content.length !== 9 || content[0] !== 0x09) {
    return undefined;
  }
  const offset = new DataView(content.buffer, content.byteOffset).getBigUint64(1, true);
  return offset <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(offset) : undefined;
}
