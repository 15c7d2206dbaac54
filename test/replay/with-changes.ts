// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { EventBatch } from '../../traces/columns.js';
import { listsOf } from '../../traces/definitions.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';

/** The trace with other values, as a file: `change` changes a row, and answers whether it did. */
export async function withChanges(
  trace: Trace,
  path: string,
  change: (batch: EventBatch, row: number) => boolean,
): Promise<{ readonly trace: Trace; readonly events: readonly number[] }> {
  const writer = await TraceWriter.create(path, trace.header);
  await writer.writeDefinitions(listsOf(trace.definitions));
  const events: number[] = [];
  for (const batch of trace.batches()) {
    batch.length = batch.end;
    for (let row = 0; row < batch.end; row++) if (change(batch, row)) events.push(batch.firstEvent + row);
    await writer.writeChunk(batch, []);
  }
  assert.ok(trace.summary);
  await writer.seal(trace.summary);
  return { trace: openTrace(path), events };
}
