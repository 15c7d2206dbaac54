// SPDX-License-Identifier: Apache-2.0
/** A recording once more, cut into other chunks: most of the corpus has one, a real one has many. */
import assert from 'node:assert/strict';
import { EventCopier } from '../../session/copy-events.js';
import type { EventBatch } from '../../traces/columns.js';
import { listsOf } from '../../traces/definitions.js';
import { EventKind } from '../../traces/model.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { TraceWriter, type WriterOptions } from '../../traces/writer.js';

/** Whether a chunk ends with this row. */
export type ChunkEnd = (batch: EventBatch, row: number) => boolean;

export function every(events: number): ChunkEnd {
  return ({ firstEvent }, row) => (firstEvent + row + 1) % events === 0;
}

/** What a system call did to the device, and what the driver does with its answer, are in the next chunk. */
export const afterCalls: ChunkEnd = ({ kind }, row) =>
  kind[row] === EventKind.IOCTL || kind[row] === EventKind.MMAP || kind[row] === EventKind.EVENTFD;

async function writerLike(trace: Trace, path: string, options: WriterOptions): Promise<TraceWriter> {
  const writer = await TraceWriter.create(path, trace.header, options);
  await writer.writeDefinitions(listsOf(trace.definitions));
  return writer;
}

export interface Recut {
  readonly codec?: 'deflate' | 'none';
  /** True unless given; false: as a recorder that is killed leaves it. */
  readonly sealed?: boolean;
}

/** Numbers and everything else stay. */
export async function recut(
  from: string,
  path: string,
  ends: ChunkEnd,
  { codec = 'deflate', sealed = true }: Recut = {},
): Promise<void> {
  const trace = openTrace(from);
  const writer = await writerLike(trace, path, { codec });
  const copier = new EventCopier(writer);
  for (const batch of trace.batches()) {
    for (let row = batch.begin; row < batch.end; row++) {
      await copier.copy(batch, row);
      if (ends(batch, row)) await copier.flush();
    }
  }
  await copier.flush();
  assert.ok(trace.summary !== undefined);
  if (sealed) await writer.seal(trace.summary);
  else await writer.close();
  trace.close();
}

/** As a recorder may have written it: what one thread did comes up to `events` later than it was done. One chunk. */
export async function writtenLate(from: string, path: string, thread: number, events: number): Promise<void> {
  const trace = openTrace(from);
  const writer = await writerLike(trace, path, {});
  const copier = new EventCopier(writer);
  for (const batch of trace.batches()) {
    const late: number[] = [];
    for (let row = batch.begin; row < batch.end; row++) {
      if (batch.thread[row] === thread) late.push(row);
      else await copier.copy(batch, row);
      if ((row + 1) % events !== 0) continue;
      for (const held of late.splice(0)) await copier.copy(batch, held);
    }
    for (const held of late) await copier.copy(batch, held);
  }
  await copier.flush();
  assert.ok(trace.summary !== undefined);
  await writer.seal(trace.summary);
  trace.close();
}
