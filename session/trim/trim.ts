// SPDX-License-Identifier: Apache-2.0
/** A window of a recording as a recording of its own, with the set-up that it needs. */
import { listsOf } from '../../traces/definitions.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import type { Trace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';
import { EventCopier } from '../copy-events.js';
import { SetUp } from './setup.js';

/** What the summary says of how the recording ended. */
export const STOPPED_BY_TRIM = 'trim';

export interface TrimReport {
  /** Events that come before the window; the first of the window has this number. */
  readonly setUp: number;
  readonly window: number;
  readonly bytes: number;
}

/** Events `from` to `end`, the last not included. Errors of the file are TraceError and TraceWriteError. */
export async function trim(trace: Trace, output: string, from: number, end: number): Promise<TrimReport> {
  const setUp = new SetUp(trace, from, end);
  const { recorder, host, command, modes, clock } = trace.header;
  const writer = await TraceWriter.create(output, { recorder, host, command, modes, clock });
  const copier = new EventCopier(writer);
  const copied = { setUp: 0, window: 0 };
  try {
    await writer.writeDefinitions(listsOf(trace.definitions));
    for (const batch of trace.batches({ from: 0, to: end })) {
      for (let row = batch.begin; row < batch.end; row++) {
        const isInside = batch.firstEvent + row >= from;
        if (!isInside && !setUp.needs(eventOfRow(trace, batch, row))) continue;
        await copier.copy(batch, row);
        copied[isInside ? 'window' : 'setUp']++;
      }
    }
    await copier.flush();
    const { summary } = trace;
    await writer.seal({
      clock: trace.clock,
      losses: summary?.losses ?? [],
      endings: [],
      complete: summary?.complete ?? false,
      stoppedBy: STOPPED_BY_TRIM,
      waits: 0,
      waitedNs: 0,
      lateEvents: summary?.lateEvents ?? 0,
      dmaComparisons: summary?.dmaComparisons ?? [],
    });
  } catch (error) {
    await writer.close();
    throw error;
  }
  return { ...copied, bytes: writer.bytesWritten };
}
