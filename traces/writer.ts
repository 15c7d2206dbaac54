// SPDX-License-Identifier: Apache-2.0
import { unlink } from 'node:fs/promises';
import { type Chunk, type ChunkHead, encodeChunk } from './chunk.js';
import { Codec } from './column-table.js';
import type { EventBatch } from './columns.js';
import { Compressor } from './compress.js';
import { countDefinitions, DEFINITION_LISTS } from './definitions.js';
import { ColumnEncoder, type EncodedColumn } from './encode.js';
import { TraceWriteError } from './errors.js';
import { FlightRecorder, type PartChunk, partsOf } from './flight.js';
import { Content, framed, trailer } from './frame.js';
import { MAX_DEFINITIONS, MAX_DEFINITIONS_BYTES, MAX_MESSAGE_BYTES, MAX_STRING_BYTES } from './limits.js';
import { DEFINITIONS, encodeMessage, HEADER, type Message, SUMMARY } from './messages.js';
import type { Definitions, RingPosition, TraceHeader, TraceLoss, TraceSummary } from './model.js';
import { PacketTable } from './packet-table.js';
import { encodePayloads } from './payloads.js';
import { type Resumed, takeUp } from './recovery.js';
import { TraceFile } from './trace-file.js';
import { FORMAT_MAJOR, FORMAT_MINOR } from './version.js';

export type { Resumed } from './recovery.js';

export interface WriterOptions {
  /** deflate (default) or none. */
  readonly codec?: 'deflate' | 'none';
  /** Flight recorder: the oldest chunks are given up so that the trace stays under so many bytes. */
  readonly keepLast?: number;
}

export interface ChunkWritten {
  readonly firstEvent: number;
  readonly events: number;
  /** In the file. */
  readonly bytes: number;
}

/** The writer knows the rest: what is in the file, and what it gave up. */
export type NewSummary = Omit<TraceSummary, 'events' | 'droppedEvents' | 'kindCounts'>;
/** The writer knows the version. */
export type NewHeader = Omit<TraceHeader, 'versionMajor' | 'versionMinor'>;

const CHUNKS_IN_FLIGHT = 4;
/** A definitions packet is closed at this size: the damage of one should not take all of them. */
const DEFINITIONS_PACKET_BYTES = 64 << 10;
/** Of a command line, arguments are kept up to so many bytes. */
const ARGUMENTS_BYTES = 256 << 10;
/** What summary, index and trailer need beside the chunks that a flight recording keeps. */
const SEAL_BYTES = 16 << 10;
const INDEX_ENTRY_BYTES = 64;
/** At most so many of the last chunks make room for the end of the file on a full disk. */
const CHUNKS_TO_GIVE_UP = 16;
const KINDS = 256;

/**
 * Writes one .vtape file. Errors of the file system reject with TraceWriteError; the file then still ends with a
 * whole packet, and a later call may succeed (space was made).
 */
export class TraceWriter {
  private readonly encoder: ColumnEncoder;
  private readonly compressor = new Compressor();
  private readonly flight: FlightRecorder | undefined;
  private readonly compress: boolean;
  private readonly chunkKinds = new Map<number, Float64Array>();
  private table = new PacketTable();
  private readonly kindCounts = new Float64Array(KINDS);
  private definitionCount = 0;
  private definitionBytes = 0;
  private numbered = 0;
  private last: Promise<unknown> = Promise.resolve();
  private readonly inFlight = new Set<Promise<unknown>>();
  private ended = false;

  private constructor(
    private readonly file: TraceFile,
    options: WriterOptions,
  ) {
    this.compress = options.codec !== 'none';
    this.encoder = new ColumnEncoder(this.compress);
    this.flight =
      options.keepLast === undefined ? undefined : new FlightRecorder(file.path, options.keepLast);
  }

  /** A new file, mode 0600. An existing file is replaced only if it is empty or a trace; links are not followed. */
  static async create(path: string, header: NewHeader, options: WriterOptions = {}): Promise<TraceWriter> {
    const file = await TraceFile.create(path);
    try {
      for (const part of await partsOf(path)) {
        await unlink(part);
      }
      const writer = new TraceWriter(file, options);
      const message: TraceHeader = {
        ...header,
        versionMajor: FORMAT_MAJOR,
        versionMinor: FORMAT_MINOR,
        command: fitting(header.command),
      };
      await writer.appendMessage(Content.HEADER, HEADER, message);
      return writer;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Continues a file that was never sealed. */
  static async resume(path: string): Promise<{ writer: TraceWriter; resumed: Resumed }> {
    const remains = await takeUp(path);
    const writer = new TraceWriter(remains.file, {});
    writer.table = remains.table;
    writer.kindCounts.set(remains.kindCounts);
    writer.definitionCount = countDefinitions(remains.resumed.definitions);
    for (let n = 0; n < remains.table.length; n++) {
      writer.numbered = Math.max(writer.numbered, remains.table.firstEvent(n) + remains.table.events(n));
    }
    return { writer, resumed: remains.resumed };
  }

  /** Number that the next chunk's first event will have. */
  get nextEvent(): number {
    return this.numbered;
  }

  /** In the file, and in its parts while a flight recording goes on. */
  get bytesWritten(): number {
    return this.file.size + (this.flight?.bytes ?? 0);
  }

  /** Given up by keepLast so far. */
  get droppedChunks(): number {
    return this.flight?.droppedChunks ?? 0;
  }

  get droppedEvents(): number {
    return this.flight?.droppedEvents ?? 0;
  }

  /** Resolves when one more chunk may be given to writeChunk. */
  async ready(): Promise<void> {
    while (this.inFlight.size >= CHUNKS_IN_FLIGHT) {
      await Promise.race(this.inFlight);
    }
  }

  /** Before the first chunk that refers to them; in order with the chunks. Lists may be left out. */
  writeDefinitions(definitions: Partial<Definitions>): Promise<void> {
    this.mustBeOpen();
    const added = countDefinitions(definitions);
    const packets = definitionPackets(definitions);
    const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
    if (
      this.definitionCount + added > MAX_DEFINITIONS ||
      this.definitionBytes + bytes > MAX_DEFINITIONS_BYTES
    ) {
      return Promise.reject(
        new TraceWriteError(`${this.file.path}: more definitions than a trace may have`, 'LIMIT', 0),
      );
    }
    this.definitionCount += added;
    this.definitionBytes += bytes;
    return this.inOrder(async () => {
      for (const packet of packets) {
        await this.append(Content.DEFINITIONS, [packet], undefined);
      }
    });
  }

  /**
   * The batch is free again when the call returns; the promise says that its bytes are in the file. At most four
   * chunks at a time: await ready() before each.
   */
  writeChunk(batch: EventBatch, rings: readonly RingPosition[]): Promise<ChunkWritten> {
    this.mustBeOpen();
    if (batch.length === 0 || this.inFlight.size >= CHUNKS_IN_FLIGHT) {
      throw new Error(
        batch.length === 0 ? 'a chunk without events' : `more than ${CHUNKS_IN_FLIGHT} chunks at a time`,
      );
    }
    batch.firstEvent = this.numbered;
    this.numbered += batch.length;
    const head = headOf(batch);
    const kinds = kindsOf(batch);
    const columns = this.encoder.encode(batch);
    const payloads = batch.payloads.length === 0 ? undefined : encodePayloads(batch.payloads);
    const packet = this.packed(head, columns, payloads, rings);
    packet.catch(ignore);
    const written = this.inOrder(async () => {
      const pieces = framed(Content.CHUNK, encodeChunk(await packet));
      const bytes = await this.append(Content.CHUNK, pieces, head, kinds);
      return { firstEvent: head.firstEvent, events: head.events, bytes };
    });
    const settled = written.then(ignore, ignore).finally(() => this.inFlight.delete(settled));
    this.inFlight.add(settled);
    return written;
  }

  /**
   * Writes summary, index and trailer, and closes. Answers how many events of the last chunks had to be given up
   * because there was no room for the end: 0, but for a full disk.
   */
  async seal(summary: NewSummary): Promise<number> {
    this.mustBeOpen();
    this.ended = true;
    try {
      await this.last;
      await this.flight?.moveTo(this.file, (chunk, offset) =>
        this.table.add(offset, chunk.size, Content.CHUNK, chunk as StoredChunk),
      );
      let given = 0;
      for (;;) {
        try {
          await this.conclude(
            given === 0 ? summary : { ...summary, losses: [...summary.losses, noRoom(given)] },
          );
          return given;
        } catch (error) {
          // A full disk: a sealed trace without its last chunk is worth more than one that lacks its end.
          const events = error instanceof TraceWriteError ? await this.giveUpLastChunk() : 0;
          if (events === 0) {
            throw error;
          }
          given += events;
        }
      }
    } finally {
      await this.close();
    }
  }

  private async conclude(summary: NewSummary): Promise<void> {
    let events = 0;
    for (let n = 0; n < this.table.length; n++) {
      events += this.table.events(n);
    }
    await this.appendMessage(Content.SUMMARY, SUMMARY, {
      ...summary,
      events,
      droppedEvents: this.droppedEvents,
      kindCounts: trimmed(this.kindCounts),
    });
    const indexOffset = await this.file.append(framed(Content.INDEX, [this.table.encode()]), 0);
    await this.file.append(trailer(indexOffset), 0);
  }

  /** Makes room. Answers how many events it cost; 0: there is none to be made. */
  private async giveUpLastChunk(): Promise<number> {
    for (let n = this.table.length - 1; n > 0; n--) {
      const kinds = this.table.content(n) === Content.CHUNK && this.chunkKinds.get(this.table.firstEvent(n));
      if (kinds) {
        const events = this.table.events(n);
        await this.file.cut(this.table.offset(n));
        this.table.cut(n);
        this.forget(this.table.firstEvent(n));
        return events;
      }
    }
    return 0;
  }

  /** Closes without sealing: `recover` can continue. */
  async close(): Promise<void> {
    this.ended = true;
    await this.last;
    await this.flight?.close();
    await this.file.close();
  }

  private mustBeOpen(): void {
    if (this.ended) {
      throw new Error('the trace is closed');
    }
  }

  /** One after the other, whatever became of the one before. */
  private inOrder<T>(task: () => Promise<T>): Promise<T> {
    const result = this.last.then(task);
    this.last = result.catch(ignore);
    return result;
  }

  private async packed(
    head: ChunkHead,
    raw: readonly EncodedColumn[],
    payloads: Uint8Array | undefined,
    rings: readonly RingPosition[],
  ): Promise<Chunk> {
    if (!this.compress) {
      const blob =
        payloads === undefined ? undefined : { codec: Codec.NONE, rawSize: payloads.length, data: payloads };
      return { ...head, columns: raw, payloads: blob, rings };
    }
    const columns = Promise.all(
      raw.map(async (column) => ({ ...column, ...(await this.compressor.compress(column.id, column.data)) })),
    );
    const blob =
      payloads === undefined
        ? undefined
        : { ...(await this.compressor.compress(0, payloads)), rawSize: payloads.length };
    return { ...head, columns: await columns, payloads: blob, rings };
  }

  private async appendMessage<T>(content: number, type: Message<T>, value: T): Promise<void> {
    const bytes = encodeMessage(type, value);
    if (bytes.length > MAX_MESSAGE_BYTES) {
      throw new TraceWriteError(`${this.file.path}: a ${type.name} of ${bytes.length} bytes`, 'LIMIT', 0);
    }
    await this.append(content, [bytes], undefined);
  }

  /** Returns the bytes of the packet. */
  private async append(
    content: number,
    body: readonly Uint8Array[],
    head: ChunkHead | undefined,
    kinds?: Float64Array,
  ): Promise<number> {
    const pieces = head === undefined ? framed(content, body) : body;
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const events = head?.events ?? 0;
    if (this.table.full) {
      throw new TraceWriteError(`${this.file.path}: more packets than a trace may have`, 'LIMIT', events);
    }
    if (head !== undefined && kinds !== undefined && this.flight !== undefined) {
      const stored: StoredChunk = { ...head, size };
      this.chunkKinds.set(head.firstEvent, kinds);
      addKinds(this.kindCounts, kinds, 1);
      try {
        for (const given of await this.flight.append(pieces, stored, this.file.size + this.sealBytes())) {
          this.forget(given.firstEvent);
        }
      } catch (error) {
        this.forget(head.firstEvent);
        throw error;
      }
      return size;
    }
    const offset = await this.file.append(pieces, events);
    this.table.add(offset, size, content, head);
    if (head !== undefined && kinds !== undefined) {
      addKinds(this.kindCounts, kinds, 1);
      this.chunkKinds.set(head.firstEvent, kinds);
      if (this.chunkKinds.size > CHUNKS_TO_GIVE_UP) {
        for (const oldest of this.chunkKinds.keys()) {
          this.chunkKinds.delete(oldest);
          break;
        }
      }
    }
    return size;
  }

  private forget(firstEvent: number): void {
    const kinds = this.chunkKinds.get(firstEvent);
    if (kinds !== undefined) {
      addKinds(this.kindCounts, kinds, -1);
      this.chunkKinds.delete(firstEvent);
    }
  }

  /** What sealing will add, about: it counts for the limit. */
  private sealBytes(): number {
    return SEAL_BYTES + INDEX_ENTRY_BYTES * (this.table.length + this.chunkKinds.size);
  }
}

interface StoredChunk extends PartChunk, ChunkHead {}

/** What the end of the trace says of chunks that made room for it. */
export function noRoom(events: number): TraceLoss {
  return {
    cause: 'write',
    events,
    bytes: 0,
    process: 0,
    detail: 'given up so that the rest could be sealed',
  };
}

function ignore(): void {
  // Told to whoever holds the promise itself.
}

function addKinds(to: Float64Array, kinds: Float64Array, sign: number): void {
  for (let kind = 0; kind < KINDS; kind++) {
    to[kind] = (to[kind] as number) + sign * (kinds[kind] as number);
  }
}

function trimmed(counts: Float64Array): number[] {
  let length = counts.length;
  while (length > 0 && counts[length - 1] === 0) {
    length--;
  }
  return [...counts.subarray(0, length)];
}

export function kindsOf(batch: EventBatch): Float64Array {
  const counts = new Float64Array(KINDS);
  const { kind } = batch;
  for (let i = 0; i < batch.length; i++) {
    const k = kind[i] as number;
    counts[k] = (counts[k] as number) + 1;
  }
  return counts;
}

function headOf(batch: EventBatch): ChunkHead {
  const { kind, timeWords } = batch;
  let kindsLow = 0;
  let kindsHigh = 0;
  let minLow = 0xffffffff;
  let minHigh = 0xffffffff;
  let maxLow = 0;
  let maxHigh = 0;
  for (let i = 0; i < batch.length; i++) {
    const k = kind[i] as number;
    if (k < 32) {
      kindsLow |= 1 << k;
    } else {
      kindsHigh |= 1 << (k < 63 ? k - 32 : 31);
    }
    const low = timeWords[2 * i] as number;
    const high = timeWords[2 * i + 1] as number;
    if (high < minHigh || (high === minHigh && low < minLow)) {
      minLow = low;
      minHigh = high;
    }
    if (high > maxHigh || (high === maxHigh && low > maxLow)) {
      maxLow = low;
      maxHigh = high;
    }
  }
  return {
    firstEvent: batch.firstEvent,
    events: batch.length,
    firstTicks: pair(minLow, minHigh),
    lastTicks: pair(maxLow, maxHigh),
    kinds: pair(kindsLow >>> 0, kindsHigh >>> 0),
  };
}

function pair(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** Definitions messages of moderate size: messages that are concatenated are one message with all of their lists. */
function definitionPackets(definitions: Partial<Definitions>): Uint8Array[] {
  const packets: Uint8Array[] = [];
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (bytes > 0) {
      packets.push(Buffer.concat(pieces));
      pieces = [];
      bytes = 0;
    }
  };
  for (const list of DEFINITION_LISTS) {
    for (const definition of definitions[list] ?? []) {
      const piece = encodeMessage(DEFINITIONS, { ...NO_DEFINITIONS, [list]: [fitted(definition)] });
      if (bytes + piece.length > DEFINITIONS_PACKET_BYTES) {
        flush();
      }
      pieces.push(piece);
      bytes += piece.length;
    }
  }
  flush();
  return packets;
}

const NO_DEFINITIONS: Definitions = {
  processes: [],
  threads: [],
  objects: [],
  modules: [],
  sites: [],
  devices: [],
  mmioSites: [],
};

function fitted<T extends object>(definition: T): T {
  return 'argv' in definition
    ? { ...definition, argv: fitting(definition.argv as readonly string[]) }
    : definition;
}

/** A command line may be megabytes long; its beginning tells what it was. */
function fitting(args: readonly string[]): readonly string[] {
  let bytes = 0;
  const kept = args.filter((arg) => {
    bytes += Math.min(Buffer.byteLength(arg), MAX_STRING_BYTES) + 4;
    return bytes <= ARGUMENTS_BYTES;
  });
  return kept.length === args.length ? args : [...kept, `(${args.length - kept.length} more)`];
}
