// SPDX-License-Identifier: Apache-2.0
/** What happened when, counted in bins of time, in one pass: for the charts over time. */

import { MMIO_TIER_PATCHED } from '../../../abi/mmio-sites.js';
import { isAccess } from '../../../session/groups/event-name.js';
import { type InterruptRoute, routeName } from '../../../session/interrupts.js';
import { EventKind } from '../../../traces/model.js';
import type { Trace } from '../../../traces/reader.js';
import { type FlowRole, FlowTracker, type Queue } from '../../exports/flows.js';
import { type GroupText, Walk } from '../../exports/walk.js';
import { Histogram } from '../../performance/histogram.js';
import { threadName } from '../../performance/statistics.js';
import { timeSpan } from '../frame/time-span.js';

export const BINS = 120;
/** Series of one kind that are told apart; what comes later is left out, and said so. */
const SERIES_MAX = 4096;
const POINTS_MAX = 1500;

export const CLASSES = ['loads', 'stores', 'ioctls', 'reads and writes', 'wake-ups', 'others'] as const;
export type ActivityClass = (typeof CLASSES)[number];

export interface Series {
  readonly name: string;
  readonly bins: Float64Array;
  total: number;
}

export interface Point {
  /** ns since the start of the recording. */
  readonly time: number;
  readonly latency: number;
  readonly queue: string;
}

function classOf({ name }: GroupText): ActivityClass {
  switch (name.kind) {
    case EventKind.LOAD:
      return 'loads';
    case EventKind.STORE:
    case EventKind.UPDATE:
      return 'stores';
    case EventKind.IOCTL:
      return 'ioctls';
    case EventKind.READ:
    case EventKind.WRITE:
      return 'reads and writes';
    case EventKind.WAKE:
      return 'wake-ups';
    default:
      return 'others';
  }
}

class SeriesTable {
  readonly #series = new Map<string, Series>();
  leftOut = 0;

  of(name: string): Series | undefined {
    const known = this.#series.get(name);
    if (known !== undefined) return known;
    if (this.#series.size >= SERIES_MAX) {
      this.leftOut++;
      return undefined;
    }
    const series = { name, bins: new Float64Array(BINS), total: 0 };
    this.#series.set(name, series);
    return series;
  }

  /** Most first. */
  list(): readonly Series[] {
    return [...this.#series.values()].filter(({ total }) => total > 0).sort((a, b) => b.total - a.total);
  }
}

interface Made {
  readonly text: GroupText;
  readonly flow: FlowRole | undefined;
  readonly counted: readonly Series[];
  readonly latency: Histogram;
  readonly doubtful: boolean;
}

export class Activity {
  /** ns since the start of the recording. */
  readonly from: number;
  readonly to: number;
  readonly classes = new SeriesTable();
  readonly threads = new SeriesTable();
  readonly queues = new SeriesTable();
  readonly vectors = new SeriesTable();
  readonly registers = new SeriesTable();
  /** Events whose timing is mostly the recorder's: accesses that were not patched, and losses. */
  readonly doubtful = new Float64Array(BINS);
  /** Some of the doorbells that an interrupt answered. */
  readonly points: Point[] = [];
  /** All of them, by queue: ns from the doorbell to the wake-up. */
  readonly answers = new Map<string, Histogram>();
  /** By operation: what the calls took, ns. */
  readonly latencies = new Map<string, Histogram>();
  readonly #width: number;
  readonly #waiting = new Map<number, number>();
  #pairs = 0;

  constructor(trace: Trace) {
    const { from, to } = timeSpan(trace);
    this.from = from;
    this.to = Math.max(to, from + BINS);
    this.#width = (this.to - this.from) / BINS;
    this.#run(trace);
  }

  #run(trace: Trace): void {
    const walk = new Walk(trace);
    const label = (device: number): string => walk.session.names.name(device);
    const queues = new Map<Queue, { readonly name: string; readonly series: Series | undefined }>();
    const named = (queue: Queue) => {
      let held = queues.get(queue);
      if (held === undefined) {
        const name = `${label(queue.device)} ${queue.name}`;
        held = { name, series: this.queues.of(name) };
        queues.set(queue, held);
      }
      return held;
    };
    const vectors = new Map<InterruptRoute, Series | undefined>();
    const vector = (route: InterruptRoute) => {
      if (!vectors.has(route))
        vectors.set(route, this.vectors.of(`${label(route.device)} ${routeName(route)}`));
      return vectors.get(route);
    };
    // The interrupt comes first, then the doorbell that it answers, with the same number.
    const flows = new FlowTracker({
      queue: ({ queue, what, time, flow }) => {
        const { name, series } = named(queue);
        if (what === 'doorbell') this.#count(series, this.#bin(time));
        const woken = flow === 0 ? undefined : this.#waiting.get(flow);
        if (woken === undefined) return;
        this.#waiting.delete(flow);
        this.#point({ time, latency: woken - time, queue: name });
      },
      interrupt: ({ route, time, flow }) => {
        this.#count(vector(route), this.#bin(time));
        if (flow !== 0) this.#waiting.set(flow, time);
      },
    });
    const rows = walk.run<Made>(
      (text) => {
        const access = isAccess(text.name.kind);
        const place = text.register === '' ? `${text.region}+0x${text.offset.toString(16)}` : text.register;
        const counted = [
          this.classes.of(classOf(text)),
          text.threadId === 0 ? undefined : this.threads.of(threadName(trace, text.threadId)),
          access ? this.registers.of(`${text.object} ${place}`) : undefined,
        ].filter((series) => series !== undefined);
        const doubtful = (access && text.name.tier > MMIO_TIER_PATCHED) || text.name.kind === EventKind.LOST;
        const latency = held(this.latencies, text.operation);
        return { text, flow: flows.role(text), counted, latency, doubtful };
      },
      ({ text, flow, counted, latency, doubtful }) => {
        const bin = this.#bin(walk.time + walk.duration);
        if (walk.duration > 0) latency.add(walk.duration);
        for (let n = 0; n < counted.length; n++) this.#count(counted[n], bin);
        if (doubtful) this.doubtful[bin] = (this.doubtful[bin] as number) + 1;
        if (flow !== undefined) flows.event(flow, text, walk.time + walk.duration);
      },
    );
    for (const _events of rows);
    flows.end();
  }

  #bin(time: number): number {
    return Math.min(BINS - 1, Math.max(0, Math.floor((time - this.from) / this.#width)));
  }

  #count(series: Series | undefined, bin: number): void {
    if (series === undefined) return;
    series.total++;
    series.bins[bin] = (series.bins[bin] as number) + 1;
  }

  /** Every one of the first, then ever fewer at random places (a reservoir, with a fixed sequence). */
  #point(point: Point): void {
    held(this.answers, point.queue).add(Math.round(point.latency));
    this.#pairs++;
    if (this.points.length < POINTS_MAX) this.points.push(point);
    else {
      const at = Math.floor(fraction(this.#pairs) * this.#pairs);
      if (at < POINTS_MAX) this.points[at] = point;
    }
  }

  /** Seconds of a bin. */
  get binSeconds(): number {
    return this.#width / 1e9;
  }
}

function held(histograms: Map<string, Histogram>, name: string): Histogram {
  let histogram = histograms.get(name);
  if (histogram === undefined) {
    histogram = new Histogram();
    histograms.set(name, histogram);
  }
  return histogram;
}

function fraction(n: number): number {
  const x = Math.sin(n * 12.9898) * 43758.5453;
  return x - Math.floor(x);
}
