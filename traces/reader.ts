// SPDX-License-Identifier: Apache-2.0
import type { ColumnName, EventBatch } from './columns.js';
import type {
  DeviceDefinition,
  Event,
  MmioSiteDefinition,
  ModuleDefinition,
  ObjectDefinition,
  ProcessDefinition,
  RingPosition,
  SiteDefinition,
  ThreadDefinition,
  TraceClock,
  TraceHeader,
  TraceSummary,
} from './model.js';

/** Something of the file that could not be read, and exactly what. */
export interface Damage {
  /** One line: 'bytes 4096 to 8191 are not a packet', 'events 0 to 65535: checksum mismatch'. */
  readonly message: string;
  readonly firstByte: number;
  /** First byte after it. */
  readonly endByte: number;
  /** When it is known which events are gone. */
  readonly firstEvent: number | undefined;
  readonly events: number | undefined;
}

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
  /** Chunks that hold none of these kinds are skipped; those that do are given whole. */
  readonly kinds?: readonly number[];
}

/** Definitions by id. Of a stream they grow while it is read. */
export interface DefinitionMaps {
  readonly processes: ReadonlyMap<number, ProcessDefinition>;
  readonly threads: ReadonlyMap<number, ThreadDefinition>;
  readonly objects: ReadonlyMap<number, ObjectDefinition>;
  readonly modules: ReadonlyMap<number, ModuleDefinition>;
  readonly sites: ReadonlyMap<number, SiteDefinition>;
  readonly devices: ReadonlyMap<number, DeviceDefinition>;
  /** By site and process, in the order of the file. */
  readonly mmioSites: readonly MmioSiteDefinition[];
}

export interface ChunkInfo {
  readonly firstEvent: number;
  readonly events: number;
  readonly firstTicks: bigint;
  readonly lastTicks: bigint;
  readonly kinds: bigint;
  readonly offset: number;
  readonly size: number;
}

/** An open trace. A damaged file is read as far as it goes: look at `damages` when done. */
export interface Trace {
  readonly header: TraceHeader;
  readonly definitions: DefinitionMaps;
  /** Undefined: the recording did not end properly; or a stream is not at its end yet. */
  readonly summary: TraceSummary | undefined;
  /** The summary's, or the header's estimate. */
  readonly clock: TraceClock;
  /** Grows as chunks are read. */
  readonly damages: readonly Damage[];
  /** Read by its index: random access is cheap. */
  readonly indexed: boolean;
  /** A stream: it can be read once, from the start. */
  readonly stream: boolean;
  /** Bytes of the file; 0 of a stream. */
  readonly size: number;
  /** Empty for a stream. */
  readonly chunks: readonly ChunkInfo[];
  /** Events in the chunks; of a stream, those read so far. */
  readonly eventCount: number;
  /** Ring positions that came with the last chunk read (for recovery). */
  readonly rings: readonly RingPosition[];

  batches(query?: BatchQuery): Generator<EventBatch, void, undefined>;
  events(range?: Range & { readonly kinds?: readonly number[] }): Generator<Event, void, undefined>;
  /** Undefined when the file does not have it. */
  event(number: number): Event | undefined;
  /** ns since the start of the recording. */
  ticksToNs(ticks: number | bigint): number;
  close(): void;
}

/** A path, '-' for standard input, an open descriptor, or the bytes themselves. */
export declare function openTrace(source: string | number | Uint8Array): Trace;
