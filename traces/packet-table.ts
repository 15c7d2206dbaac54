// SPDX-License-Identifier: Apache-2.0
/** The packets of a file, one row each, as the Index message lists them. */
import protobuf from 'protobufjs/minimal.js';
import type { ChunkHead } from './chunk.js';
import { CHUNK_EVENTS } from './columns.js';
import { Content } from './frame.js';
import { MAX_PACKETS } from './limits.js';
import { bigintOf, longOf, numberOf } from './messages.js';

const NO_CHUNK: ChunkHead = { firstEvent: 0, events: 0, firstTicks: 0n, lastTicks: 0n, kinds: 0n };

export class PacketTable {
  length = 0;
  private offsets = new Float64Array(16);
  private sizes = new Uint32Array(16);
  private contents = new Uint32Array(16);
  private firstEvents = new Float64Array(16);
  private eventCounts = new Uint32Array(16);
  private ticks = new BigUint64Array(32);
  private kindMasks = new BigUint64Array(16);

  get full(): boolean {
    return this.length === MAX_PACKETS;
  }

  add(offset: number, size: number, content: number, head: ChunkHead = NO_CHUNK): void {
    const n = this.length;
    if (n === this.offsets.length) {
      this.grow();
    }
    this.offsets[n] = offset;
    this.sizes[n] = size;
    this.contents[n] = content;
    this.firstEvents[n] = head.firstEvent;
    this.eventCounts[n] = head.events;
    this.ticks[2 * n] = head.firstTicks;
    this.ticks[2 * n + 1] = head.lastTicks;
    this.kindMasks[n] = head.kinds;
    this.length = n + 1;
  }

  /** Forgets all packets from the nth on. */
  cut(n: number): void {
    this.length = n;
  }

  offset(n: number): number {
    return this.offsets[n] as number;
  }

  size(n: number): number {
    return this.sizes[n] as number;
  }

  end(n: number): number {
    return this.offset(n) + this.size(n);
  }

  content(n: number): number {
    return this.contents[n] as number;
  }

  firstEvent(n: number): number {
    return this.firstEvents[n] as number;
  }

  events(n: number): number {
    return this.eventCounts[n] as number;
  }

  firstTicks(n: number): bigint {
    return this.ticks[2 * n] as bigint;
  }

  lastTicks(n: number): bigint {
    return this.ticks[2 * n + 1] as bigint;
  }

  kinds(n: number): bigint {
    return this.kindMasks[n] as bigint;
  }

  head(n: number): ChunkHead {
    return {
      firstEvent: this.firstEvent(n),
      events: this.events(n),
      firstTicks: this.firstTicks(n),
      lastTicks: this.lastTicks(n),
      kinds: this.kinds(n),
    };
  }

  /** Events of the largest chunk; 1 when there is none. */
  largestChunk(): number {
    let largest = 1;
    for (let n = 0; n < this.length; n++) {
      largest = Math.max(largest, this.events(n));
    }
    return largest;
  }

  /** The Index message. */
  encode(): Uint8Array {
    const writer = protobuf.Writer.create();
    for (let n = 0; n < this.length; n++) {
      writer.uint32(0x0a).fork();
      writer.uint32(0x09).fixed64(longOf(BigInt(this.offset(n))) as never);
      writer.uint32(0x10).uint32(this.size(n));
      writer.uint32(0x18).uint32(this.content(n));
      if (this.content(n) === Content.CHUNK) {
        writer.uint32(0x21).fixed64(longOf(BigInt(this.firstEvent(n))) as never);
        writer.uint32(0x28).uint32(this.events(n));
        writer.uint32(0x31).fixed64(longOf(this.firstTicks(n)) as never);
        writer.uint32(0x39).fixed64(longOf(this.lastTicks(n)) as never);
        writer.uint32(0x40).uint64(longOf(this.kinds(n)) as never);
      }
      writer.ldelim();
    }
    return writer.finish();
  }

  /**
   * An Index message for a file whose packets lie before `end`; undefined when it can't be that file's: entries that
   * overlap or leave it, events that go backwards.
   */
  static decode(bytes: Uint8Array, end: number): PacketTable | undefined {
    const table = new PacketTable();
    const reader = protobuf.Reader.create(bytes);
    let lastEnd = 0;
    let nextEvent = 0;
    try {
      while (reader.pos < reader.len) {
        const tag = reader.uint32();
        if (tag !== 0x0a) {
          reader.skipType(tag & 7, 0, tag >>> 3);
          continue;
        }
        const entry = readEntry(reader);
        const chunk = entry.content === Content.CHUNK;
        if (
          table.full ||
          entry.offset < lastEnd ||
          entry.offset + entry.size > end ||
          (chunk && (entry.firstEvent < nextEvent || entry.events === 0 || entry.events > CHUNK_EVENTS)) ||
          entry.firstEvent > Number.MAX_SAFE_INTEGER - CHUNK_EVENTS
        ) {
          return undefined;
        }
        lastEnd = entry.offset + entry.size;
        if (chunk) {
          nextEvent = entry.firstEvent + entry.events;
          table.add(entry.offset, entry.size, entry.content, entry);
        } else {
          table.add(entry.offset, entry.size, entry.content);
        }
      }
    } catch {
      return undefined;
    }
    return table;
  }

  private grow(): void {
    const capacity = this.offsets.length * 2;
    this.offsets = moved(this.offsets, new Float64Array(capacity));
    this.sizes = moved(this.sizes, new Uint32Array(capacity));
    this.contents = moved(this.contents, new Uint32Array(capacity));
    this.firstEvents = moved(this.firstEvents, new Float64Array(capacity));
    this.eventCounts = moved(this.eventCounts, new Uint32Array(capacity));
    const ticks = new BigUint64Array(2 * capacity);
    ticks.set(this.ticks);
    this.ticks = ticks;
    const kinds = new BigUint64Array(capacity);
    kinds.set(this.kindMasks);
    this.kindMasks = kinds;
  }
}

function moved<T extends Float64Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

interface Entry extends ChunkHead {
  readonly offset: number;
  readonly size: number;
  readonly content: number;
}

function readEntry(reader: protobuf.Reader): Entry {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) {
    throw new RangeError('an entry leaves the index');
  }
  let offset = 0;
  let size = 0;
  let content = 0;
  let firstEvent = 0;
  let events = 0;
  let firstTicks = 0n;
  let lastTicks = 0n;
  let kinds = 0n;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x09:
        offset = numberOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x10:
        size = reader.uint32();
        break;
      case 0x18:
        content = reader.uint32();
        break;
      case 0x21:
        firstEvent = numberOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x28:
        events = reader.uint32();
        break;
      case 0x31:
        firstTicks = bigintOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x39:
        lastTicks = bigintOf(reader.fixed64() as protobuf.Long);
        break;
      case 0x40:
        kinds = bigintOf(reader.uint64() as protobuf.Long);
        break;
      default:
        reader.skipType(tag & 7, 0, tag >>> 3);
    }
  }
  if (reader.pos !== end) {
    throw new RangeError('a field leaves its entry');
  }
  return { offset, size, content, firstEvent, events, firstTicks, lastTicks, kinds };
}
