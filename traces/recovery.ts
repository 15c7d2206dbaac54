// SPDX-License-Identifier: Apache-2.0
/** What is left of a recording that was never sealed, so that a writer can go on and seal it. */
import { readFileSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { parseChunk } from './chunk.js';
import { ChunkReader } from './chunk-reader.js';
import { EventBatch } from './columns.js';
import { type Damage, DamageList } from './damage.js';
import { MalformedChunk } from './decode.js';
import { DefinitionStore, listsOf } from './definitions.js';
import { TraceError } from './errors.js';
import { partsOf } from './flight.js';
import { Content, checksumFits, contentOf, parseFrame } from './frame.js';
import { readIndex, scanLayout } from './layout.js';
import { decodeMessage, HEADER } from './messages.js';
import type { Definitions, RingPosition, TraceHeader } from './model.js';
import { PacketTable } from './packet-table.js';
import { type ByteSource, openSource } from './source.js';
import { TraceFile } from './trace-file.js';

/** What a file that lacks its end already holds, for whoever continues it. */
export interface Resumed {
  readonly header: TraceHeader;
  readonly definitions: Definitions;
  /** The furthest position of each ring that a chunk in the file was written with. */
  readonly rings: readonly RingPosition[];
  readonly events: number;
  /** Largest completion time in the file. */
  readonly lastTicks: bigint;
  /** What of the file could not be used. A partly written last packet was cut off. */
  readonly damages: readonly Damage[];
}

export interface Remains {
  readonly file: TraceFile;
  readonly table: PacketTable;
  readonly definitions: DefinitionStore;
  readonly kindCounts: Float64Array;
  readonly resumed: Resumed;
}

const KINDS = 256;

/** Collects what the whole chunks of a recording say. */
class Inventory {
  readonly kindCounts = new Float64Array(KINDS);
  readonly rings = new Map<number, RingPosition>();
  lastTicks = 0n;
  private readonly reader = new ChunkReader();
  private readonly batch = new EventBatch();

  /** False when the chunk can't be read. */
  take(packet: Uint8Array): boolean {
    const frame = parseFrame(packet);
    if (frame?.content !== Content.CHUNK) {
      return false;
    }
    try {
      const chunk = this.reader.read(frame, packet, this.batch, new Set(['kind']), false);
      for (let i = 0; i < chunk.events; i++) {
        const kind = this.batch.kind[i] as number;
        this.kindCounts[kind] = (this.kindCounts[kind] as number) + 1;
      }
      for (const ring of chunk.rings) {
        const known = this.rings.get(ring.ring);
        if (known === undefined || known.records <= ring.records) {
          this.rings.set(ring.ring, ring);
        }
      }
      if (chunk.lastTicks > this.lastTicks) {
        this.lastTicks = chunk.lastTicks;
      }
      return true;
    } catch (error) {
      if (error instanceof MalformedChunk) {
        return false;
      }
      throw error;
    }
  }
}

export async function takeUp(path: string): Promise<Remains> {
  const source = openSource(path);
  const damages = new DamageList();
  const definitions = new DefinitionStore();
  const inventory = new Inventory();
  const table = new PacketTable();
  let header: TraceHeader;
  let end: number;
  try {
    if (source.stream) {
      throw new TraceError(`${path}: is not a file: nothing can be recovered`);
    }
    if (readIndex(source) !== undefined) {
      throw new TraceError(`${path}: was sealed properly: there is nothing to recover`);
    }
    const first = wholeHeader(path, source);
    header = first.header;
    end = first.end;
    table.add(0, end, Content.HEADER);
    const layout = scanLayout(source, end, definitions, damages);
    for (let n = 0; n < layout.table.length; n++) {
      const content = layout.table.content(n);
      // The summary is written again.
      if (content === Content.SUMMARY) {
        break;
      }
      const packet = source.at(layout.table.offset(n), layout.table.size(n));
      if (content === Content.CHUNK && !inventory.take(packet)) {
        damages.add(
          layout.table.offset(n),
          layout.table.end(n),
          'a damaged chunk',
          layout.table.firstEvent(n),
          layout.table.events(n),
        );
      }
      table.add(layout.table.offset(n), layout.table.size(n), content, layout.table.head(n));
      end = layout.table.end(n);
    }
  } finally {
    source.close();
  }
  const file = await TraceFile.reopen(path, end);
  try {
    for (const part of await partsOf(path)) {
      await moveIn(part, file, table, inventory);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  let events = 0;
  for (let n = 0; n < table.length; n++) {
    events += table.events(n);
  }
  return {
    file,
    table,
    definitions,
    kindCounts: inventory.kindCounts,
    resumed: {
      header,
      definitions: listsOf(definitions),
      rings: [...inventory.rings.values()],
      events,
      lastTicks: inventory.lastTicks,
      damages: damages.list,
    },
  };
}

function wholeHeader(path: string, source: ByteSource): { header: TraceHeader; end: number } {
  const frame = parseFrame(source.at(0, 64));
  if (frame?.content === Content.HEADER) {
    const packet = source.at(0, frame.size);
    if (checksumFits(frame, packet)) {
      return { header: decodeMessage(HEADER, contentOf(frame, packet)), end: frame.size };
    }
  }
  throw new TraceError(`${path}: does not begin with a whole header: it can be read as it is, not recovered`);
}

/** Appends the chunks of a flight recording's part, unless sealing was interrupted after it had moved them. */
async function moveIn(
  part: string,
  file: TraceFile,
  table: PacketTable,
  inventory: Inventory,
): Promise<void> {
  const bytes = readFileSync(part);
  let next = 0;
  for (let n = 0; n < table.length; n++) {
    next = Math.max(next, table.firstEvent(n) + table.events(n));
  }
  for (let at = 0; at < bytes.length; ) {
    const packet = bytes.subarray(at);
    const frame = parseFrame(packet);
    if (frame === undefined || frame.size > packet.length) {
      break;
    }
    const whole = packet.subarray(0, frame.size);
    at += frame.size;
    if (inventory.take(whole)) {
      const head = parseChunk(contentOf(frame, whole));
      if (head.firstEvent >= next) {
        table.add(await file.append([whole], head.events), frame.size, Content.CHUNK, head);
        next = head.firstEvent + head.events;
      }
    }
  }
  await unlink(part);
}
