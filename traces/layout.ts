// SPDX-License-Identifier: Apache-2.0
/** What packets a file has: by its index, or by going through it. */
import { type ChunkHead, parseChunk } from './chunk.js';
import type { DamageList } from './damage.js';
import { MalformedChunk } from './decode.js';
import type { DefinitionStore } from './definitions.js';
import {
  Content,
  checksumFits,
  contentOf,
  FRAME_BYTES,
  parseFrame,
  TRAILER_BYTES,
  trailerOffset,
} from './frame.js';
import { MAX_PACKETS } from './limits.js';
import { decodeMessage, SUMMARY } from './messages.js';
import type { TraceSummary } from './model.js';
import { PacketTable } from './packet-table.js';
import { type Found, Scanner } from './scan.js';
import type { ByteSource } from './source.js';

export interface Layout {
  readonly table: PacketTable;
  readonly summary: TraceSummary | undefined;
  readonly indexed: boolean;
  /** Where the last whole packet ends. */
  readonly end: number;
}

/** The index that the trailer points to; undefined when either is missing or damaged. */
export function readIndex(source: ByteSource): PacketTable | undefined {
  const trailerAt = source.size - TRAILER_BYTES;
  const offset = verifiedContent(source, trailerAt, Content.TRAILER, trailerOffset);
  if (offset === undefined || offset >= trailerAt) {
    return undefined;
  }
  return verifiedContent(source, offset, Content.INDEX, (content) => PacketTable.decode(content, offset));
}

/** What `read` makes of the content of the packet at `offset`, if that is a whole one of this kind. */
function verifiedContent<T>(
  source: ByteSource,
  offset: number,
  content: number,
  read: (bytes: Uint8Array) => T | undefined,
): T | undefined {
  if (offset < 0) {
    return undefined;
  }
  const frame = parseFrame(source.at(offset, FRAME_BYTES));
  if (frame?.content !== content) {
    return undefined;
  }
  const packet = source.at(offset, frame.size);
  return checksumFits(frame, packet) ? read(contentOf(frame, packet)) : undefined;
}

/** Takes a definitions or summary packet in; says what is wrong with it. */
export function takeMessage(
  source: ByteSource,
  offset: number,
  size: number,
  content: number,
  definitions: DefinitionStore,
  damages: DamageList,
): TraceSummary | undefined {
  const packet = source.at(offset, size);
  const frame = parseFrame(packet);
  const what = content === Content.SUMMARY ? 'the summary' : 'definitions';
  if (frame === undefined || frame.content !== content || !checksumFits(frame, packet)) {
    damages.add(offset, offset + size, `${what}: checksum mismatch`);
    return undefined;
  }
  try {
    if (content === Content.SUMMARY) {
      return decodeMessage(SUMMARY, contentOf(frame, packet));
    }
    definitions.add(contentOf(frame, packet));
  } catch (error) {
    damages.add(offset, offset + size, `${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return undefined;
}

export function layoutOfIndexed(
  source: ByteSource,
  table: PacketTable,
  definitions: DefinitionStore,
  damages: DamageList,
): Layout {
  let summary: TraceSummary | undefined;
  for (let n = 0; n < table.length; n++) {
    const before = n === 0 ? 0 : table.end(n - 1);
    if (table.offset(n) !== before) {
      damages.add(before, table.offset(n), 'not a packet of the index');
    }
    const content = table.content(n);
    if (content === Content.DEFINITIONS || content === Content.SUMMARY) {
      summary = takeMessage(source, table.offset(n), table.size(n), content, definitions, damages) ?? summary;
    }
  }
  return { table, summary, indexed: true, end: source.size };
}

/** What a chunk says of itself, or why it can't be read. */
function headOf(content: Uint8Array): ChunkHead | string {
  try {
    return parseChunk(content);
  } catch (error) {
    if (error instanceof MalformedChunk) {
      return error.message;
    }
    throw error;
  }
}

type Hole = Extract<Found, { found: 'damage' }>;

/** Which events a hole took is known when the next chunk comes; of two in a row, all are put down to the second. */
function after(first: Hole | undefined, second: Hole, damages: DamageList): Hole {
  if (first !== undefined) {
    damages.add(first.offset, first.end, first.reason);
  }
  return second;
}

/**
 * Goes through a file that has no usable index. Chunks are checked at once: what a damaged one says of itself would
 * lead astray.
 */
export function scanLayout(
  source: ByteSource,
  start: number,
  definitions: DefinitionStore,
  damages: DamageList,
): Layout {
  const scanner = new Scanner(source);
  const table = new PacketTable();
  let summary: TraceSummary | undefined;
  let pending: Hole | undefined;
  let nextEvent = 0;
  let present = 0;
  let missing = 0;
  let end = start;
  for (let at = start; ; ) {
    const found = scanner.next(at);
    if (found.found === 'end') {
      break;
    }
    if (found.found === 'damage') {
      pending = after(pending, found, damages);
      at = found.end;
      continue;
    }
    const { frame, offset } = found;
    at = offset + frame.size;
    end = at;
    if (table.length === MAX_PACKETS) {
      damages.add(offset, source.size, `more than ${MAX_PACKETS} packets: the rest was not read`);
      break;
    }
    switch (frame.content) {
      case Content.CHUNK: {
        const packet = source.at(offset, frame.size);
        const head = checksumFits(frame, packet) ? headOf(contentOf(frame, packet)) : 'checksum mismatch';
        if (typeof head === 'string') {
          pending = after(pending, { found: 'damage', offset, end: at, reason: head }, damages);
          break;
        }
        if (head.firstEvent < nextEvent) {
          damages.add(offset, at, `events ${head.firstEvent} and following come again`);
          break;
        }
        if (pending !== undefined) {
          damages.add(pending.offset, pending.end, pending.reason, nextEvent, head.firstEvent - nextEvent);
          missing += head.firstEvent - nextEvent;
          pending = undefined;
        }
        table.add(offset, frame.size, Content.CHUNK, head);
        nextEvent = head.firstEvent + head.events;
        present += head.events;
        break;
      }
      case Content.DEFINITIONS:
      case Content.SUMMARY:
        summary = takeMessage(source, offset, frame.size, frame.content, definitions, damages) ?? summary;
        table.add(offset, frame.size, frame.content);
        break;
      case Content.INDEX:
      case Content.TRAILER:
        break; // Of no use, or the file would not be scanned.
      default:
        table.add(offset, frame.size, frame.content);
    }
  }
  if (pending !== undefined) {
    const last = summary === undefined ? 0 : summary.events - present - missing;
    damages.add(pending.offset, pending.end, pending.reason, nextEvent, Math.max(0, last));
  }
  if (summary === undefined) {
    damages.add(
      source.size,
      source.size,
      'no summary: the recording did not end properly, or the end of the file is missing',
    );
  } else if (pending === undefined) {
    damages.add(source.size, source.size, 'no usable index: the end of the file is missing or damaged');
  }
  return { table, summary, indexed: false, end };
}
