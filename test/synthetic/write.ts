// SPDX-License-Identifier: Apache-2.0
import type { TraceHeader, TraceSummary } from '../../traces/model.js';
import { TraceWriter } from '../../traces/writer.js';
import { HEADER, type SyntheticSession } from './builder.js';

export const SUMMARY: Omit<TraceSummary, 'events' | 'droppedEvents' | 'kindCounts'> = {
  clock: HEADER.clock,
  losses: [],
  endings: [{ process: 1, exitStatus: 0, signal: 0 }],
  complete: true,
  stoppedBy: 'driver-exit',
  waits: 0,
  waitedNs: 0,
  lateEvents: 0,
  dmaComparisons: [],
};

/** The session as a .vtape file; without a summary it is left as a killed recorder leaves it. */
export async function writeSession(
  path: string,
  { definitions, batch }: SyntheticSession,
  summary: typeof SUMMARY | undefined,
  header: TraceHeader = HEADER,
): Promise<void> {
  const writer = await TraceWriter.create(path, header);
  await writer.writeDefinitions(definitions);
  await writer.ready();
  await writer.writeChunk(batch, []);
  if (summary === undefined) await writer.close();
  else await writer.seal(summary);
}
