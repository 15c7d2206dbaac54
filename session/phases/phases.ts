// SPDX-License-Identifier: Apache-2.0
/**
 * The phases of a session, device by device. A device works from its first doorbell (of an NVMe controller: of an I/O queue) to the
 * last one before something is undone for good; one of which no doorbell is known works once nothing is set up any more. What an
 * event was is often told by what follows: so phases come from a pass of their own, fast (groups/follow.ts), and are known at its
 * end. Whoever counts by them in the same reading counts between the events with which one may begin.
 */
import { wordsNumber } from '../../traces/event-of-row.js';
import type { Trace } from '../../traces/reader.js';
import type { Moment } from '../story/moment.js';
import { Pass } from './pass.js';
import type { PhaseSpan } from './phase.js';

export interface Opening {
  /** The device's object. */
  readonly object: number;
  /** Its first event: it was open from the call that made its descriptor on, which has another object. */
  readonly opened: Moment;
  /** The first doorbell of a queue for I/O, and its register. */
  readonly ready: (Moment & { readonly register: string }) | undefined;
}

export interface SessionPhases {
  /** Device by device, in time. */
  readonly spans: readonly PhaseSpan[];
  readonly openings: readonly Opening[];
}

export const NO_PHASES: SessionPhases = { spans: [], openings: [] };

/** When events were entered and done, ns. */
function timesOf(
  trace: Trace,
  events: readonly number[],
): ReadonlyMap<number, { readonly entered: number; readonly done: number }> {
  const times = new Map<number, { readonly entered: number; readonly done: number }>();
  const sorted = [...new Set(events)].sort((a, b) => a - b);
  for (let at = 0; at < sorted.length; at++) {
    const from = sorted[at] as number;
    // One chunk has most of them.
    for (const batch of trace.batches({ from, columns: ['time', 'duration'], payloads: false })) {
      for (; at < sorted.length; at++) {
        const event = sorted[at] as number;
        const row = event - batch.firstEvent;
        if (row >= batch.end) break;
        if (row < 0) continue;
        const done = wordsNumber(batch.timeWords, row);
        const entered = trace.ticksToNs(done - wordsNumber(batch.durationWords, row));
        times.set(event, { entered, done: trace.ticksToNs(done) });
      }
      at--;
      break;
    }
  }
  return times;
}

/** Reads the trace, and parts of it again: a stream has no phases. */
export function phasesOf(trace: Trace): SessionPhases {
  return trace.stream ? NO_PHASES : phasesAfter(trace, new Pass(trace).run());
}

/** What a pass over all of the trace has found; reads parts of it again. */
export function phasesAfter(trace: Trace, { devices, events }: Pass): SessionPhases {
  const lives = [...devices.values()].map((device) => {
    const ends = device.closed ? device.undone : Math.max(0, events - 1);
    return { device, runs: device.phases.end(), ends };
  });
  const times = timesOf(
    trace,
    lives.flatMap(({ device: { opened, work }, runs, ends }) => [
      ...runs.map(({ from }) => from),
      opened,
      ...(work === undefined ? [] : [work.event]),
      ends,
    ]),
  );
  const entered = (event: number): Moment => ({ event, time: times.get(event)?.entered ?? 0 });
  const spans: PhaseSpan[] = [];
  const openings: Opening[] = [];
  for (const { device, runs, ends } of lives) {
    const { object, opened, work } = device;
    let from = entered(runs[0]?.from ?? 0);
    runs.forEach(({ phase }, n) => {
      const next = runs[n + 1];
      const end =
        next === undefined ? { event: ends + 1, time: times.get(ends)?.done ?? 0 } : entered(next.from);
      // A call that waited overlaps with what others did meanwhile.
      const to = { event: end.event, time: Math.max(from.time, end.time) };
      spans.push({ phase, object, from, to });
      from = to;
    });
    const ready = work === undefined ? undefined : { ...entered(work.event), register: work.register };
    openings.push({ object, opened: entered(opened), ready });
  }
  return { spans, openings };
}
