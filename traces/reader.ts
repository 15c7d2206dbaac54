// SPDX-License-Identifier: Apache-2.0
import type { Chunk } from './chunk.js';
import { ChunkReader } from './chunk-reader.js';
import { COLUMN_NAMES, type ColumnName, EventBatch } from './columns.js';
import { type Damage, DamageList } from './damage.js';
import { MalformedChunk } from './decode.js';
import { type DefinitionMaps, DefinitionStore } from './definitions.js';
import { TraceError } from './errors.js';
import { eventOfRow } from './event-of-row.js';
import { Content, checksumFits, contentOf, FRAME_BYTES, type Frame, parseFrame } from './frame.js';
import { type Layout, layoutOfIndexed, readIndex, scanLayout, takeMessage } from './layout.js';
import { decodeMessage, HEADER } from './messages.js';
import type { Event, TraceClock, TraceHeader, TraceSummary } from './model.js';
import { PacketTable } from './packet-table.js';
import { Scanner } from './scan.js';
import { type ByteSource, openSource } from './source.js';
import { FORMAT_MAJOR } from './version.js';

export type { Damage } from './damage.js';
export type { DefinitionMaps } from './definitions.js';

export interface Range {
  /** Event numbers: from, up to but not including to. */
  readonly from?: number;
  readonly to?: number;
  /** Completion times, ns since the start of the recording, both included. */
  readonly fromTime?: number;
  readonly toTime?: number;
}

export interface BatchQuery extends Range {
  /** Columns to decode; all by default. */
  readonly columns?: readonly ColumnName[];
  /** Whether to decode payloads; true by default. */
  readonly payloads?: boolean;
  /** Chunks that hold none of these kinds are skipped; those that do are given whole. A function is asked before each chunk. */
  readonly kinds?: readonly number[] | (() => readonly number[]);
  /**
   * Rows by what they have in common (event-groups.ts), over the whole of the batch: then kind, flags, thread, object, fd, op,
   * offset, result, errno and site are good in the groups' own rows only. Of one trace no other batch may be asked for meanwhile.
   */
  readonly groups?: boolean;
}

export interface EventQuery extends Range {
  readonly kinds?: readonly number[];
  readonly payloads?: boolean;
}

export interface ChunkInfo {
  readonly firstEvent: number;
  readonly events: number;
  readonly firstTicks: bigint;
  readonly lastTicks: bigint;
  /** Bit k: an event of kind k is in it; bit 63: of kind 63 or larger. */
  readonly kinds: bigint;
  readonly offset: number;
  readonly size: number;
}

/** An open trace. A damaged file is read as far as it goes: look at `damages` when done. */
export interface Trace {
  /** Path of the file, 'standard input', … */
  readonly name: string;
  readonly header: TraceHeader;
  readonly definitions: DefinitionMaps;
  /** Undefined: the recording did not end properly; or a stream is not at its end yet. */
  readonly summary: TraceSummary | undefined;
  /** The summary's, or the header's estimate. */
  readonly clock: TraceClock;
  /** Grows as chunks are read. */
  readonly damages: readonly Damage[];
  /** Read by its index. */
  readonly indexed: boolean;
  /** A stream: it can be read once, from the start. */
  readonly stream: boolean;
  /** Bytes of the file; of a stream, known at its end. */
  readonly size: number | undefined;
  /** In the chunks, damaged ones included; of a stream, those read so far. */
  readonly eventCount: number;

  /** What is known of the chunks without reading them; nothing of a stream's. */
  chunks(): Generator<ChunkInfo, void, undefined>;
  /**
   * The events in order, as columns. Rows begin to end of a batch are those asked for; it is overwritten when the next
   * one is asked for. With a time range, rows of other threads that were written late may lie in between.
   */
  batches(query?: BatchQuery): Generator<EventBatch, void, undefined>;
  events(query?: EventQuery): Generator<Event, void, undefined>;
  /** Undefined when the file does not have it. */
  event(number: number): Event | undefined;
  /** ns since the start of the recording: ticks * 1e9 / ticksPerSecond. */
  ticksToNs(ticks: number | bigint): number;
  /** More than 0, whatever the file says. */
  readonly ticksPerSecond: number;
  close(): void;
}

/** A path, '-' for standard input, an open descriptor, which is called `called`, or the bytes themselves. */
export function openTrace(source: string | number | Uint8Array, called?: string): Trace {
  const bytes = openSource(source, called);
  try {
    return new OpenTrace(bytes);
  } catch (error) {
    bytes.close();
    throw error;
  }
}

/** Where a file's second packet begins at the latest; further on, nobody would look for a trace. */
const HEADER_SEARCH_BYTES = 2 << 20;

const UNKNOWN_CLOCK: TraceClock = {
  source: '',
  ticksPerSecond: 1e9,
  baseTicks: 0n,
  baseMonotonicNs: 0n,
  baseRealtimeNs: 0n,
  pairs: [],
};

class OpenTrace implements Trace {
  readonly header: TraceHeader;
  readonly definitions = new DefinitionStore();
  private readonly damageList = new DamageList();
  private readonly reader = new ChunkReader();
  private readonly layout: Layout;
  private streamed = 0;
  private streamPosition: number;
  private streamSummary: TraceSummary | undefined;
  /** Its own: what the batches' reader has made of a chunk is in use between two rows. */
  private readonly eventReader = new ChunkReader();
  private eventBatch: EventBatch | undefined;
  private eventChunk = -1;

  constructor(private readonly source: ByteSource) {
    const { header, end } = this.readHeader();
    this.header = header;
    this.streamPosition = end;
    if (source.stream) {
      this.layout = { table: new PacketTable(), summary: undefined, indexed: false, end };
      return;
    }
    const index = readIndex(source);
    this.layout =
      index === undefined
        ? scanLayout(source, end, this.definitions, this.damageList)
        : layoutOfIndexed(source, index, this.definitions, this.damageList);
  }

  get name(): string {
    return this.source.name;
  }

  get damages(): readonly Damage[] {
    return this.damageList.list;
  }

  get summary(): TraceSummary | undefined {
    return this.layout.summary ?? this.streamSummary;
  }

  get clock(): TraceClock {
    return this.summary?.clock ?? this.header.clock;
  }

  get indexed(): boolean {
    return this.layout.indexed;
  }

  get stream(): boolean {
    return this.source.stream;
  }

  get size(): number | undefined {
    return Number.isFinite(this.source.size) ? this.source.size : undefined;
  }

  get eventCount(): number {
    if (this.stream) {
      return this.streamed;
    }
    const { table } = this.layout;
    let count = 0;
    for (let n = 0; n < table.length; n++) {
      count += table.events(n);
    }
    return count;
  }

  *chunks(): Generator<ChunkInfo, void, undefined> {
    const { table } = this.layout;
    for (let n = 0; n < table.length; n++) {
      if (table.content(n) === Content.CHUNK) {
        yield { ...table.head(n), offset: table.offset(n), size: table.size(n) };
      }
    }
  }

  batches(query: BatchQuery = {}): Generator<EventBatch, void, undefined> {
    return this.stream ? this.streamBatches(query) : this.fileBatches(query);
  }

  *events(query: EventQuery = {}): Generator<Event, void, undefined> {
    const window = this.window(query);
    const kinds = query.kinds === undefined ? undefined : new Set(query.kinds);
    for (const batch of this.batches(query)) {
      for (let i = batch.begin; i < batch.end; i++) {
        const time = batch.time[i] as bigint;
        if (
          (kinds === undefined || kinds.has(batch.kind[i] as number)) &&
          time >= window.first &&
          time <= window.last
        ) {
          yield eventOfRow(this, batch, i);
        }
      }
    }
  }

  event(number: number): Event | undefined {
    if (this.stream) {
      throw new TraceError(`${this.name}: a stream has no random access: save it to a file first`);
    }
    const { table } = this.layout;
    let low = 0;
    let high = table.length;
    // Packets that are not chunks have event 0 and none of them: step over them to the left.
    let chunk = -1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let at = middle;
      while (at >= low && table.content(at) !== Content.CHUNK) {
        at--;
      }
      if (at < low) {
        low = middle + 1;
      } else if (table.firstEvent(at) <= number) {
        chunk = at;
        low = middle + 1;
      } else {
        high = at;
      }
    }
    if (chunk < 0 || number >= table.firstEvent(chunk) + table.events(chunk)) {
      return undefined;
    }
    if (this.eventChunk !== chunk) {
      this.eventBatch ??= new EventBatch(table.largestChunk());
      this.eventChunk = -1;
      if (!this.readChunk(this.eventReader, chunk, this.eventBatch, ALL_COLUMNS, true)) {
        return undefined;
      }
      this.eventChunk = chunk;
    }
    return this.eventBatch === undefined
      ? undefined
      : eventOfRow(this, this.eventBatch, number - table.firstEvent(chunk));
  }

  ticksToNs(ticks: number | bigint): number {
    return (Number(ticks) * 1e9) / this.ticksPerSecond;
  }

  close(): void {
    this.source.close();
  }

  private readHeader(): { header: TraceHeader; end: number } {
    const { source } = this;
    const frame = parseFrame(source.at(0, FRAME_BYTES));
    if (frame?.content === Content.HEADER) {
      const packet = source.at(0, frame.size);
      if (checksumFits(frame, packet)) {
        return { header: this.parseHeader(contentOf(frame, packet)), end: frame.size };
      }
    }
    if (source.at(0, 1).length === 0) {
      throw new TraceError(`${this.name}: is empty, not a trace`);
    }
    const found = new Scanner(source, HEADER_SEARCH_BYTES).after(0, frame);
    if (found === undefined) {
      throw new TraceError(`${this.name}: is not a trace (a .vtape file of vfiotape)`);
    }
    this.damageList.add(0, found, 'the header is damaged: version, host and command are not known');
    const header = decodeMessage(HEADER, new Uint8Array(0));
    return { header: { ...header, versionMajor: FORMAT_MAJOR, clock: UNKNOWN_CLOCK }, end: found };
  }

  private parseHeader(content: Uint8Array): TraceHeader {
    let header: TraceHeader;
    try {
      header = decodeMessage(HEADER, content);
    } catch (error) {
      throw new TraceError(
        `${this.name}: its header can't be read: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    if (header.versionMajor > FORMAT_MAJOR) {
      throw new TraceError(
        `${this.name}: has format version ${header.versionMajor}.${header.versionMinor}, this vfiotape reads up to ${FORMAT_MAJOR}: use a newer vfiotape (it was written by ${header.recorder || 'an unnamed recorder'})`,
      );
    }
    return header;
  }

  get ticksPerSecond(): number {
    const rate = this.clock.ticksPerSecond;
    return rate > 0 && Number.isFinite(rate) ? rate : 1e9;
  }

  private window(range: Range): Window {
    const rate = this.ticksPerSecond / 1e9;
    return {
      first: range.fromTime === undefined ? 0n : ticksOf(Math.ceil(range.fromTime * rate)),
      last: range.toTime === undefined ? MAX_U64 : ticksOf(Math.floor(range.toTime * rate)),
      limited: range.fromTime !== undefined || range.toTime !== undefined,
    };
  }

  private *fileBatches(query: BatchQuery): Generator<EventBatch, void, undefined> {
    const { table } = this.layout;
    const window = this.window(query);
    const wanted = wantedColumns(query, window.limited);
    const mask = kindMask(query.kinds);
    const from = query.from ?? 0;
    const to = query.to ?? Number.POSITIVE_INFINITY;
    const batch = new EventBatch(table.largestChunk());
    for (let n = 0; n < table.length; n++) {
      if (
        table.content(n) === Content.CHUNK &&
        table.firstEvent(n) < to &&
        table.firstEvent(n) + table.events(n) > from &&
        (table.kinds(n) & mask()) !== 0n &&
        table.firstTicks(n) <= window.last &&
        table.lastTicks(n) >= window.first &&
        this.readChunk(this.reader, n, batch, wanted, query.payloads ?? true, query.groups) &&
        narrow(batch, from, to, window)
      ) {
        yield batch;
      }
    }
  }

  private readChunk(
    reader: ChunkReader,
    n: number,
    into: EventBatch,
    wanted: ReadonlySet<ColumnName>,
    payloads: boolean,
    groups = false,
  ): boolean {
    const { table } = this.layout;
    const packet = this.source.at(table.offset(n), table.size(n));
    const frame = parseFrame(packet);
    try {
      if (frame === undefined || frame.content !== Content.CHUNK || frame.size !== table.size(n)) {
        throw new MalformedChunk('not a chunk');
      }
      const chunk = reader.read(frame, packet, into, wanted, payloads, groups);
      if (chunk.firstEvent !== table.firstEvent(n) || chunk.events !== table.events(n)) {
        throw new MalformedChunk('holds other events than the index says');
      }
      return true;
    } catch (error) {
      this.damaged(error, table.offset(n), table.end(n), table.firstEvent(n), table.events(n));
      return false;
    }
  }

  private damaged(error: unknown, offset: number, end: number, firstEvent?: number, events?: number): void {
    if (!(error instanceof MalformedChunk)) {
      throw error;
    }
    this.damageList.add(offset, end, error.message, firstEvent, events);
  }

  private *streamBatches(query: BatchQuery): Generator<EventBatch, void, undefined> {
    if (this.streamPosition < 0) {
      throw new TraceError(`${this.name}: can be read only once: save it to a file first`);
    }
    const scanner = new Scanner(this.source);
    const window = this.window(query);
    const wanted = wantedColumns(query, window.limited);
    const mask = kindMask(query.kinds);
    const from = query.from ?? 0;
    const to = query.to ?? Number.POSITIVE_INFINITY;
    const batch = new EventBatch();
    let at = this.streamPosition;
    let next = 0;
    let lost: { offset: number; end: number; reason: string } | undefined;
    this.streamPosition = -1;
    for (;;) {
      const found = scanner.next(at);
      if (found.found === 'end') {
        break;
      }
      if (found.found === 'damage') {
        if (lost !== undefined) {
          this.damageList.add(lost.offset, lost.end, lost.reason);
        }
        lost = found;
        at = found.end;
        continue;
      }
      const { frame, offset } = found;
      at = offset + frame.size;
      if (frame.content === Content.DEFINITIONS || frame.content === Content.SUMMARY) {
        const summary = takeMessage(
          this.source,
          offset,
          frame.size,
          frame.content,
          this.definitions,
          this.damageList,
        );
        this.streamSummary = summary ?? this.streamSummary;
        continue;
      }
      const chunk =
        frame.content === Content.CHUNK ? this.streamChunk(frame, offset, batch, query, wanted) : undefined;
      if (chunk === undefined) {
        continue;
      }
      if (lost !== undefined) {
        this.damageList.add(lost.offset, lost.end, lost.reason, next, chunk.firstEvent - next);
        lost = undefined;
      }
      if (chunk.firstEvent < next) {
        this.damageList.add(offset, at, `events ${chunk.firstEvent} and following come again`);
        continue;
      }
      next = chunk.firstEvent + chunk.events;
      this.streamed += chunk.events;
      if (chunk.firstEvent >= to) {
        return;
      }
      if ((mask() & chunk.kinds) !== 0n && narrow(batch, from, to, window)) {
        yield batch;
      }
    }
    if (lost !== undefined) {
      this.damageList.add(lost.offset, lost.end, lost.reason);
    }
    if (this.streamSummary === undefined) {
      this.damageList.add(
        at,
        at,
        'no summary: the recording did not end properly, or the end of the file is missing',
      );
    }
  }

  private streamChunk(
    frame: Frame,
    offset: number,
    into: EventBatch,
    query: BatchQuery,
    wanted: ReadonlySet<ColumnName>,
  ): Chunk | undefined {
    try {
      return this.reader.read(
        frame,
        this.source.at(offset, frame.size),
        into,
        wanted,
        query.payloads ?? true,
        query.groups,
      );
    } catch (error) {
      this.damaged(error, offset, offset + frame.size);
      return undefined;
    }
  }
}

const ALL_COLUMNS: ReadonlySet<ColumnName> = new Set(COLUMN_NAMES);

function wantedColumns(query: BatchQuery, byTime: boolean): ReadonlySet<ColumnName> {
  if (query.columns === undefined) {
    return ALL_COLUMNS;
  }
  const wanted = new Set(query.columns);
  if (byTime) {
    wanted.add('time');
  }
  return wanted;
}

function kindMask(kinds: BatchQuery['kinds']): () => bigint {
  const maskOf = (list: readonly number[]): bigint =>
    list.reduce((mask, kind) => mask | (1n << BigInt(Math.min(kind, 63))), 0n);
  if (typeof kinds === 'function') return () => maskOf(kinds());
  const mask = kinds === undefined ? MAX_U64 : maskOf(kinds);
  return () => mask;
}

interface Window {
  /** Ticks, both included. */
  readonly first: bigint;
  readonly last: bigint;
  readonly limited: boolean;
}

const MAX_U64 = 0xffff_ffff_ffff_ffffn;

function ticksOf(ticks: number): bigint {
  return ticks < 2 ** 64 ? BigInt(ticks) : MAX_U64;
}

/** Sets the rows of a batch that a query asks for; false when there are none. */
function narrow(batch: EventBatch, from: number, to: number, window: Window): boolean {
  batch.begin = Math.max(0, from - batch.firstEvent);
  batch.end = Math.min(batch.length, to - batch.firstEvent);
  if (window.limited) {
    const outside = (i: number): boolean => {
      const time = batch.time[i] as bigint;
      return time < window.first || time > window.last;
    };
    while (batch.begin < batch.end && outside(batch.begin)) {
      batch.begin++;
    }
    while (batch.end > batch.begin && outside(batch.end - 1)) {
      batch.end--;
    }
  }
  return batch.begin < batch.end;
}
