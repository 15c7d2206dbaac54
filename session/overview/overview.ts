// SPDX-License-Identifier: Apache-2.0
import { objectKindName } from '../../abi/object-kinds.js';
import { EventKind, type TraceLoss } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { type DmaCompared, DmaTally } from './dma-compared.js';

/** What a trace holds, in numbers. */
export interface Overview {
  readonly events: number;
  /** By kind; kinds that don't occur are absent. */
  readonly counts: ReadonlyMap<number, number>;
  /** From the start of the recording to the last completion. */
  readonly durationNs: number;
  readonly chunks: number;
  /** Of devices' memory whose loads and stores were not to be recorded (`--mmio off|syscalls`), and are not. */
  readonly unwatchedMappings: number;
  /** What is missing or doubtful, in words; nothing: the trace is complete. */
  readonly gaps: readonly string[];
  /** Undefined: DMA-mapped memory was not compared. */
  readonly dmaCompared: DmaCompared | undefined;
}

/**
 * Reads the kinds of all events (and the times, of a stream): damages are found on the way. `describeLoss` puts a
 * recorder's loss into words: its causes are the recorder's.
 */
export function takeOverview(trace: Trace, describeLoss: (loss: TraceLoss) => string): Overview {
  const byKind = new Float64Array(256);
  let events = 0;
  let chunks = 0;
  let last = 0n;
  let unwatchedMappings = 0;
  const { objects } = trace.definitions;
  const unwatched = trace.header.modes.mmio === 'off' || trace.header.modes.mmio === 'syscalls';
  const dma = new DmaTally();
  const isCompared = trace.header.modes.dma === 'content' && trace.header.modes.backend === 'kernel';
  for (const chunk of trace.chunks()) {
    chunks++;
    if (chunk.lastTicks > last) last = chunk.lastTicks;
  }
  for (const batch of trace.batches({
    columns: [
      'kind',
      ...(trace.stream ? (['time'] as const) : []),
      ...(unwatched ? (['object', 'errno'] as const) : []),
      ...(isCompared ? (['op'] as const) : []),
    ],
    payloads: false,
  })) {
    if (isCompared) dma.take(batch);
    for (let row = batch.begin; row < batch.end; row++) {
      const kind = batch.kind[row] as number;
      byKind[kind] = (byKind[kind] as number) + 1;
      if (unwatched && kind === EventKind.MMAP && batch.errno[row] === 0)
        if (objectKindName(objects.get(batch.object[row] as number)?.kind ?? 0)) unwatchedMappings++;
    }
    events += batch.end - batch.begin;
    if (trace.stream) {
      chunks++;
      for (let row = batch.begin; row < batch.end; row++) {
        const time = batch.time[row] as bigint;
        if (time > last) last = time;
      }
    }
  }
  const counts = new Map<number, number>();
  byKind.forEach((count, kind) => {
    if (count > 0) counts.set(kind, count);
  });
  return {
    events,
    counts,
    chunks,
    unwatchedMappings,
    durationNs: trace.ticksToNs(last),
    gaps: findGaps(trace, counts, describeLoss),
    dmaCompared: dma.result(trace.summary?.dmaComparisons[0]),
  };
}

const stops: Readonly<Record<string, string>> = {
  duration: 'stopped by --duration, the driver may have gone on',
  'max-size': 'stopped by --max-size, the driver may have gone on',
  interrupt: 'the recording was interrupted',
  trim: 'it is a window of a longer recording, with the set-up before it',
};

function findGaps(
  trace: Trace,
  counts: ReadonlyMap<number, number>,
  describeLoss: (loss: TraceLoss) => string,
): readonly string[] {
  const gaps: string[] = [];
  const { summary } = trace;
  if (summary === undefined) {
    if (trace.damages.length === 0) gaps.push('it was never sealed');
  } else {
    if (!summary.complete) gaps.push('it was put together by recover, not sealed by its recorder');
    if (summary.droppedEvents > 0)
      gaps.push(`the oldest ${summary.droppedEvents} events were given up for --max-size`);
    for (const loss of summary.losses) gaps.push(`lost: ${describeLoss(loss)}`);
    const stop = stops[summary.stoppedBy];
    if (stop !== undefined) gaps.push(stop);
  }
  const lost = counts.get(EventKind.LOST) ?? 0;
  if (lost > 0 && (summary === undefined || summary.losses.length === 0))
    gaps.push(`events were lost, ${lost === 1 ? 'once' : `${lost} times`}`);
  const unseen = counts.get(EventKind.UNSEEN) ?? 0;
  if (unseen > 0 && (summary === undefined || summary.losses.length === 0)) {
    gaps.push(`${unseen} VFIO descriptors were opened where the recorder could not see it`);
  }
  for (const { message } of trace.damages) gaps.push(message);
  return gaps;
}
