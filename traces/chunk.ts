// SPDX-License-Identifier: Apache-2.0
/** The Chunk message, with its columns as they are in the file. */
import protobuf from 'protobufjs/minimal.js';
import { CHUNK_EVENTS } from './columns.js';
import { MalformedChunk } from './decode.js';
import type { EncodedColumn } from './encode.js';
import { MAX_COLUMNS, MAX_RINGS } from './limits.js';
import { bigintOf, decodeMessage, encodeMessage, longOf, numberOf, RING_POSITION } from './messages.js';
import type { RingPosition } from './model.js';

export interface Blob {
  readonly codec: number;
  readonly rawSize: number;
  readonly data: Uint8Array;
}

export interface ChunkHead {
  readonly firstEvent: number;
  readonly events: number;
  readonly firstTicks: bigint;
  readonly lastTicks: bigint;
  readonly kinds: bigint;
}

export interface Chunk extends ChunkHead {
  readonly columns: readonly EncodedColumn[];
  readonly payloads: Blob | undefined;
  readonly rings: readonly RingPosition[];
}

/** A Chunk in pieces; the data of the columns is not copied. */
export function encodeChunk(chunk: Chunk): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let writer = protobuf.Writer.create();
  writer.uint32(0x09).fixed64(longOf(BigInt(chunk.firstEvent)) as never);
  writer.uint32(0x10).uint32(chunk.events);
  writer.uint32(0x19).fixed64(longOf(chunk.firstTicks) as never);
  writer.uint32(0x21).fixed64(longOf(chunk.lastTicks) as never);
  writer.uint32(0x40).uint64(longOf(chunk.kinds) as never);
  for (const ring of chunk.rings) {
    writer.uint32(0x3a).bytes(encodeMessage(RING_POSITION, ring));
  }
  for (const column of chunk.columns) {
    const head = protobuf.Writer.create();
    head.uint32(0x08).uint32(column.id);
    head.uint32(0x10).uint32(column.width);
    head.uint32(0x18).uint32(column.transform);
    head.uint32(0x21).fixed64(longOf(column.base) as never);
    head.uint32(0x28).uint32(column.codec);
    head.uint32(0x30).uint32(column.rawSize);
    head.uint32(0x40).uint32(column.escapes);
    if (column.planes) {
      head.uint32(0x48).bool(true);
    }
    head.uint32(0x3a).uint32(column.data.length);
    const headBytes = head.finish();
    writer.uint32(0x2a).uint32(headBytes.length + column.data.length);
    pieces.push(writer.finish(), headBytes, column.data);
    writer = protobuf.Writer.create();
  }
  if (chunk.payloads !== undefined) {
    const { codec, rawSize, data } = chunk.payloads;
    const head = protobuf.Writer.create();
    head.uint32(0x08).uint32(codec);
    head.uint32(0x10).uint32(rawSize);
    head.uint32(0x1a).uint32(data.length);
    const headBytes = head.finish();
    writer.uint32(0x32).uint32(headBytes.length + data.length);
    pieces.push(writer.finish(), headBytes, data);
    writer = protobuf.Writer.create();
  }
  pieces.push(writer.finish());
  return pieces.filter((piece) => piece.length > 0);
}

function eventNumber(long: protobuf.Long): number {
  const number = numberOf(long);
  if (number > Number.MAX_SAFE_INTEGER - CHUNK_EVENTS) {
    throw new MalformedChunk('its first event has a number beyond 2^53');
  }
  return number;
}

export function parseChunk(bytes: Uint8Array): Chunk {
  try {
    return readChunk(protobuf.Reader.create(bytes));
  } catch (error) {
    // protobufjs throws RangeError and Error for what isn't protobuf.
    throw error instanceof MalformedChunk
      ? error
      : new MalformedChunk(error instanceof Error ? error.message : String(error));
  }
}

function part(reader: protobuf.Reader): Uint8Array {
  const length = reader.uint32();
  if (length > reader.len - reader.pos) {
    throw new MalformedChunk(`a length of ${length} where ${reader.len - reader.pos} bytes are left`);
  }
  reader.pos += length;
  return reader.buf.subarray(reader.pos - length, reader.pos);
}

function readChunk(reader: protobuf.Reader): Chunk {
  let firstEvent = 0;
  let events = 0;
  let firstTicks = 0n;
  let lastTicks = 0n;
  let kinds = 0n;
  let payloads: Blob | undefined;
  const columns: EncodedColumn[] = [];
  const rings: RingPosition[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x09:
        firstEvent = eventNumber(reader.fixed64() as protobuf.Long);
        break;
      case 0x10:
        events = reader.uint32();
        break;
      case 0x19:
        firstTicks = bigintOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x21:
        lastTicks = bigintOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x2a:
        if (columns.length === MAX_COLUMNS) {
          throw new MalformedChunk(`more than ${MAX_COLUMNS} columns`);
        }
        columns.push(readColumn(part(reader)));
        break;
      case 0x32:
        payloads = readBlob(part(reader));
        break;
      case 0x3a:
        if (rings.length === MAX_RINGS) {
          throw new MalformedChunk(`more than ${MAX_RINGS} rings`);
        }
        rings.push(decodeMessage(RING_POSITION, part(reader)));
        break;
      case 0x40:
        kinds = bigintOf(reader.uint64() as protobuf.Long);
        break;
      default:
        reader.skipType(tag & 7, 0, tag >>> 3);
    }
  }
  if (events === 0 || events > CHUNK_EVENTS) {
    throw new MalformedChunk(`${events} events; a chunk has 1 to ${CHUNK_EVENTS}`);
  }
  return { firstEvent, events, firstTicks, lastTicks, kinds, columns, payloads, rings };
}

const NO_BYTES = new Uint8Array(0);

function readColumn(bytes: Uint8Array): EncodedColumn {
  const reader = protobuf.Reader.create(bytes);
  let id = 0;
  let width = 0;
  let transform = 0;
  let base = 0n;
  let codec = 0;
  let rawSize = 0;
  let escapes = 0;
  let planes = false;
  let data: Uint8Array = NO_BYTES;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x08:
        id = reader.uint32();
        break;
      case 0x10:
        width = reader.uint32();
        break;
      case 0x18:
        transform = reader.uint32();
        break;
      case 0x21:
        base = bigintOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x28:
        codec = reader.uint32();
        break;
      case 0x30:
        rawSize = reader.uint32();
        break;
      case 0x3a:
        data = part(reader);
        break;
      case 0x40:
        escapes = reader.uint32();
        break;
      case 0x48:
        planes = reader.bool();
        break;
      default:
        reader.skipType(tag & 7, 0, tag >>> 3);
    }
  }
  if (!(width === 0 || width === 1 || width === 2 || width === 4 || width === 8)) {
    throw new MalformedChunk(`column ${id}: numbers of ${width} bytes`);
  }
  if (planes && width !== 2 && width !== 4) {
    throw new MalformedChunk(`column ${id}: numbers of ${width} bytes in planes`);
  }
  return { id, width, transform, base, codec, rawSize, data, escapes, planes };
}

function readBlob(bytes: Uint8Array): Blob {
  const reader = protobuf.Reader.create(bytes);
  let codec = 0;
  let rawSize = 0;
  let data: Uint8Array = NO_BYTES;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x08:
        codec = reader.uint32();
        break;
      case 0x10:
        rawSize = reader.uint32();
        break;
      case 0x1a:
        data = part(reader);
        break;
      default:
        reader.skipType(tag & 7, 0, tag >>> 3);
    }
  }
  return { codec, rawSize, data };
}
