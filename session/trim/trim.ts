// SPDX-License-Identifier: Apache-2.0
/** A window of a recording as a recording of its own, with the set-up that it needs. */
import { EventBatch, PAYLOAD_CUT, PAYLOAD_FAULT, PAYLOAD_REDACTED } from '../../traces/columns.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import type { Payload } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';
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
  const copier = new Copier(writer);
  try {
    const { definitions } = trace;
    await writer.writeDefinitions({
      processes: [...definitions.processes.values()],
      threads: [...definitions.threads.values()],
      objects: [...definitions.objects.values()],
      modules: [...definitions.modules.values()],
      sites: [...definitions.sites.values()],
      devices: [...definitions.devices.values()],
      mmioSites: [...definitions.mmioSites.values()],
    });
    for (const batch of trace.batches({ from: 0, to: end })) {
      for (let row = batch.begin; row < batch.end; row++) {
        const isInside = batch.firstEvent + row >= from;
        if (isInside) await copier.copy(batch, row, true);
        else if (setUp.needs(eventOfRow(trace, batch, row))) await copier.copy(batch, row, false);
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
    });
  } catch (error) {
    await writer.close();
    throw error;
  }
  return { setUp: copier.setUp, window: copier.window, bytes: writer.bytesWritten };
}

class Copier {
  setUp = 0;
  window = 0;
  readonly #batch = new EventBatch();

  constructor(readonly writer: TraceWriter) {}

  async copy(from: EventBatch, row: number, isInside: boolean): Promise<void> {
    const batch = this.#batch;
    const payloads = from.payloads.of(row);
    const bytes = payloads.reduce((sum, { data }) => sum + data.length, 0);
    if (batch.length === batch.capacity || !batch.payloads.hasRoom(payloads.length, bytes))
      await this.flush();
    const to = batch.length;
    batch.kind[to] = from.kind[row] as number;
    batch.flags[to] = from.flags[row] as number;
    batch.thread[to] = from.thread[row] as number;
    batch.object[to] = from.object[row] as number;
    batch.fd[to] = from.fd[row] as number;
    batch.op[to] = from.op[row] as number;
    batch.time[to] = from.time[row] as bigint;
    batch.duration[to] = from.duration[row] as bigint;
    batch.offset[to] = from.offset[row] as bigint;
    batch.value[to] = from.value[row] as bigint;
    batch.result[to] = from.result[row] as bigint;
    batch.errno[to] = from.errno[row] as number;
    batch.site[to] = from.site[row] as number;
    for (const payload of payloads) {
      const { role, index, address, data } = payload;
      const at = batch.payloads.add(to, role, index, flagsOf(payload), address, data.length);
      batch.payloads.bytes.set(data, at);
    }
    batch.length = to + 1;
    if (isInside) this.window++;
    else this.setUp++;
  }

  async flush(): Promise<void> {
    if (this.#batch.length === 0) return;
    await this.writer.ready();
    await this.writer.writeChunk(this.#batch, []);
    this.#batch.clear();
    this.#batch.payloads.clear();
  }
}

function flagsOf({ cut, fault, redacted }: Payload): number {
  return (cut ? PAYLOAD_CUT : 0) | (fault ? PAYLOAD_FAULT : 0) | (redacted ? PAYLOAD_REDACTED : 0);
}
