// SPDX-License-Identifier: Apache-2.0
/** A recording without what is private in it: contents of memory, addresses of the process, names, serial numbers. */

import { eventOfRow } from '../../traces/event-of-row.js';
import type { Trace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';
import { EventCopier } from '../copy-events.js';
import { Session, STATE_KINDS } from '../state.js';
import { scrubbedDefinitions } from './definitions.js';
import { Scrubber, type Withheld } from './scrubber.js';

export interface ScrubReport {
  readonly events: number;
  readonly bytes: number;
  readonly withheld: Withheld;
  /** What is to be found in the new trace no more: `checkScrubbed` looks for it. */
  readonly names: readonly string[];
  readonly addresses: Scrubber['addresses'];
  /** What was mapped for DMA: IOVAs stay, also where a driver uses its own addresses for them. */
  readonly iovas: Scrubber['iovas'];
}

/** Errors of the file are TraceError and TraceWriteError. */
export async function scrub(trace: Trace, output: string): Promise<ScrubReport> {
  const scrubber = new Scrubber(trace);
  scrubber.look();
  const { recorder, host, command, modes, clock } = trace.header;
  const writer = await TraceWriter.create(output, {
    recorder,
    host: {
      ...host,
      hostname: scrubber.drop(host.hostname),
      kernelCommandLine: scrubber.drop(host.kernelCommandLine),
    },
    command: scrubber.words(command),
    modes: { ...modes, dma: 'off' },
    clock,
  });
  const copier = new EventCopier(writer);
  try {
    await writer.writeDefinitions(scrubbedDefinitions(trace.definitions, scrubber));
    const session = new Session(trace.definitions);
    for (const batch of trace.batches()) {
      for (let row = batch.begin; row < batch.end; row++) {
        const event = eventOfRow(trace, batch, row);
        if (STATE_KINDS.includes(event.kind)) session.apply(event);
        await copier.copy(batch, row, scrubber.amend(event, session));
      }
    }
    await copier.flush();
    const { summary } = trace;
    await writer.seal({
      clock: trace.clock,
      losses: (summary?.losses ?? []).map((loss) => ({ ...loss, detail: scrubber.drop(loss.detail) })),
      endings: summary?.endings ?? [],
      complete: summary?.complete ?? false,
      stoppedBy: summary?.stoppedBy ?? '',
      waits: summary?.waits ?? 0,
      waitedNs: summary?.waitedNs ?? 0,
      lateEvents: summary?.lateEvents ?? 0,
      dmaComparisons: summary?.dmaComparisons ?? [],
    });
  } catch (error) {
    await writer.close();
    throw error;
  }
  const { withheld, addresses, iovas, events } = scrubber;
  return { events, bytes: writer.bytesWritten, withheld, names: scrubber.namesGone(), addresses, iovas };
}
