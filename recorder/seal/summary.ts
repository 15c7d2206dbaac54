// SPDX-License-Identifier: Apache-2.0

import type { DmaComparison, ProcessEnding, TraceLoss } from '../../traces/model.js';
import type { NewSummary } from '../../traces/writer.js';
import type { RecordingClock } from '../collector/clock.js';
import type { Collector } from '../collector/collector.js';
import type { Control } from '../collector/control.js';
import type { ProcessWatch } from '../collector/processes.js';

/** TraceLoss.cause: what a trace may lack, and why. */
export const LossCause = {
  /** --when-full drop, and the ring was full. */
  RING_FULL: 'ring-full',
  /** The ring was full and no recorder emptied it any more. */
  NO_COLLECTOR: 'no-collector',
  /** All rings of the session were taken, or none could be made. */
  NO_RING: 'no-ring',
  /** The shim could not record it for a reason of its own. */
  SHIM: 'shim',
  /** Payload bytes that found no room; their events are there. */
  PAYLOAD: 'payload',
  /** A thread ended in the middle of writing a record. */
  TORN: 'torn',
  /** The file could not be written: no space, an input/output error. */
  WRITE: 'write',
  /** A VFIO descriptor that the shim never saw: its calls are missing. */
  UNSEEN: 'unseen-descriptor',
} as const;

export interface SummaryParts {
  readonly collector: Collector;
  readonly control: Control;
  readonly clock: RecordingClock;
  readonly processes: ProcessWatch;
  readonly whenFull: 'block' | 'drop';
  readonly stoppedBy: string;
  readonly complete: boolean;
  readonly main: { readonly exitStatus: number; readonly signal: number } | undefined;
}

/** What the end of a trace says of the whole recording. */
export function summarize(parts: SummaryParts): NewSummary {
  const { collector, control, clock, processes } = parts;
  control.refresh();
  const losses: TraceLoss[] = [];
  const add = (cause: string, events: number, bytes = 0, detail = ''): void => {
    if (events > 0 || bytes > 0 || detail !== '') losses.push({ cause, events, bytes, process: 0, detail });
  };
  let lost = 0;
  let lostPayload = 0;
  let waits = 0;
  let waited = 0;
  let torn = 0;
  let damaged = 0;
  for (const ring of collector.allRings) {
    ring.sample();
    const counters = ring.counters();
    lost += Number(counters.lost);
    lostPayload += Number(counters.lostPayload);
    waits += Number(counters.waits);
    waited += Number(counters.waited);
    torn += ring.holes;
    damaged += ring.damagedPayloads;
  }
  add(parts.whenFull === 'drop' ? LossCause.RING_FULL : LossCause.NO_COLLECTOR, lost);
  add(LossCause.NO_RING, Number(control.lostNoRing));
  add(LossCause.SHIM, Number(control.lostOther));
  add(LossCause.PAYLOAD, 0, lostPayload, damaged > 0 ? `${damaged} unreadable` : '');
  // The call itself is there, as one that never came back.
  add(LossCause.TORN, Math.max(0, torn - collector.unfinished));
  for (const { code, events } of collector.traceSink?.failures ?? []) add(LossCause.WRITE, events, 0, code);
  for (const detail of processes.unseen.values()) add(LossCause.UNSEEN, 0, 0, detail);
  const endings: ProcessEnding[] = processes.endingsWith(parts.main);
  return {
    clock: clock.describe(),
    losses,
    endings,
    complete: parts.complete,
    stoppedBy: parts.stoppedBy,
    waits,
    waitedNs: Math.round((waited * 1e9) / clock.ticksPerSecond()),
    lateEvents: collector.lateEvents,
    dmaComparisons: dmaComparisons(control, clock),
  };
}

/** By LeftOut. */
const LEFT_OUT = ['large', 'many', 'unreadable', 'gone', 'no-memory', 'indirect'] as const;

function dmaComparisons(control: Control, clock: RecordingClock): readonly DmaComparison[] {
  const { dma } = control;
  if (dma === undefined) return [];
  const { ticks, leftOut, ...counted } = dma;
  return [
    {
      ...counted,
      ns: Math.round((ticks * 1e9) / clock.ticksPerSecond()),
      leftOut: leftOut
        .map(({ mappings, bytes }, why) => ({ why: LEFT_OUT[why] ?? String(why), mappings, bytes }))
        .filter(({ mappings }) => mappings > 0),
    },
  ];
}
