// SPDX-License-Identifier: Apache-2.0
import type { EventBatch } from './columns.js';
import type { Definitions, RingPosition, TraceHeader, TraceSummary } from './model.js';

export interface WriterOptions {
  /** deflate (default) or none. */
  readonly codec?: 'deflate' | 'none';
  /** Flight recorder: give up the oldest chunks so that the file stays under so many bytes. */
  readonly keepLast?: number;
}

export interface ChunkWritten {
  readonly firstEvent: number;
  readonly events: number;
  /** In the file. */
  readonly bytes: number;
}

/** What a file that lacks its end already holds, for whoever continues it. */
export interface Resumed {
  readonly header: TraceHeader;
  readonly definitions: Definitions;
  /** The last position of each ring that a chunk in the file was written with. */
  readonly rings: readonly RingPosition[];
  readonly events: number;
  /** Largest completion time in the file. */
  readonly lastTicks: bigint;
  /** Bytes of a partly written last packet, cut off. */
  readonly cutBytes: number;
}

/**
 * Writes one .vtape file. Errors of the file system reject with TraceWriteError; the file then still ends with a
 * whole packet, and a later call may succeed (space was made).
 */
export declare class TraceWriter {
  /** A new file, mode 0600. An existing file is replaced only if it is empty or a trace; links are not followed. */
  static create(path: string, header: TraceHeader, options?: WriterOptions): Promise<TraceWriter>;
  /** Continues a file that was never sealed. */
  static resume(path: string): Promise<{ writer: TraceWriter; resumed: Resumed }>;

  /** Number that the next chunk's first event will have. */
  readonly nextEvent: number;
  /** In the file, or in its parts while a flight recording goes on. */
  readonly bytesWritten: number;
  /** Given up by keepLast so far. */
  readonly droppedChunks: number;
  readonly droppedEvents: number;

  /** Resolves when one more chunk may be given to writeChunk. */
  ready(): Promise<void>;
  /** Before the first chunk that refers to them; in order with the chunks. Lists may be left out. */
  writeDefinitions(definitions: Partial<Definitions>): Promise<void>;
  /**
   * The batch is free again when the call returns; the promise says that its bytes are in the file. At most four
   * chunks at a time: await ready() before each.
   */
  writeChunk(batch: EventBatch, rings: readonly RingPosition[]): Promise<ChunkWritten>;
  /** Writes summary, index and trailer, and closes. droppedEvents and kindCounts are the writer's own. */
  seal(summary: Omit<TraceSummary, 'events' | 'droppedEvents' | 'kindCounts'>): Promise<void>;
  /** Closes without sealing: `recover` can continue. */
  close(): Promise<void>;
}
