// SPDX-License-Identifier: Apache-2.0
/** The tables of `stats`, from what was collected. */
import { isDevice } from '../../abi/object-kinds.js';
import { escapeText, hex } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import { SiteNames } from '../../session/describe/site.js';
import { routeName } from '../../session/interrupts.js';
import { type Phase, phaseNs } from '../../session/phases/phase.js';
import type { CallSites } from '../../session/symbols/call-sites.js';
import type { Trace } from '../../traces/reader.js';
import type { Cell } from './cells.js';
import { type Collected, collect } from './collected.js';
import { Histogram, QUANTILE_ERROR } from './histogram.js';
import type { Latency, Series, Statistics } from './model.js';
import { perturbation } from './perturbation.js';

type Keys = Omit<Series, 'count' | 'failed' | 'rate_per_s' | 'latency'>;

/** Of a stream, which can be read once only, there are no phases. */
export function statistics(trace: Trace, callSites?: CallSites): Statistics {
  return report(collect(trace), callSites);
}

export function report(collected: Collected, callSites?: CallSites): Statistics {
  const { collection, table, phases } = collected;
  const { trace, follower, events, firstTime, lastTime } = collection;
  const { names } = follower.session;
  const { definitions } = trace;
  const sites = new SiteNames(definitions, callSites);
  const siteName = (site: number, kind: number): string => sites.name(site, kind) ?? '';
  const seconds = Math.max(lastTime - firstTime, 1) / 1e9;
  const begun = Math.min(lastTime, ...phases.spans.map(({ from }) => from.time));
  /** What comes before any device is counted as opening. */
  const phaseSeconds = (phase: Phase): number =>
    Math.max(phaseNs(phases.spans, phase) + (phase === 'open' ? begun - firstTime : 0), 1) / 1e9;
  const bdf = (object: number): string => escapeText(names.device(object)?.bdf ?? '');
  const about = (object: number) => ({ object: names.name(object), bdf: bdf(object) });

  const tabled = (keysOf: (cell: Cell) => Keys | undefined, secondsOf: (keys: Keys) => number): Series[] => {
    const sums = new Map<string, { keys: Keys; count: number; failed: number; latency: Histogram }>();
    table.cells.forEach((cell, at) => {
      const keys = keysOf(cell);
      if (keys === undefined) return;
      const key = Object.values(keys).join('\0');
      let sum = sums.get(key);
      if (sum === undefined) {
        sum = { keys, count: 0, failed: 0, latency: new Histogram() };
        sums.set(key, sum);
      }
      const count = table.counts[at] as number;
      sum.count += count;
      if (cell.failed) sum.failed += count;
      if (cell.latency !== undefined) sum.latency.addAll(cell.latency);
    });
    return [...sums.values()]
      .map(({ keys, count, failed, latency }) => ({
        ...keys,
        count,
        failed,
        rate_per_s: count / secondsOf(keys),
        latency: latencyOf(latency),
      }))
      .sort((a, b) => (b.latency?.total_ns ?? 0) - (a.latency?.total_ns ?? 0) || b.count - a.count);
  };
  const whole = (): number => seconds;
  const objectKeys = ({ name }: Cell) => (name.object === 0 ? { object: '', bdf: '' } : about(name.object));

  return {
    schema: 1,
    trace: {
      file: trace.name,
      events,
      from_ns: Math.round(firstTime),
      duration_ns: Math.round(lastTime - firstTime),
    },
    quantile_error: QUANTILE_ERROR,
    phases: phases.spans.map(({ phase, object, from, to }) => ({
      ...about(object),
      phase,
      from_ns: Math.round(from.time),
      duration_ns: Math.round(to.time) - Math.round(from.time),
    })),
    operations: tabled(({ name }) => ({ operation: name.operation }), whole),
    objects: tabled((cell) => ({ ...objectKeys(cell), operation: cell.name.operation }), whole),
    registers: tabled(
      (cell) =>
        cell.name.region < 0
          ? undefined
          : { ...objectKeys(cell), register: registerOf(cell), operation: cell.name.operation },
      whole,
    ),
    sites: tabled(
      ({ name, site }) =>
        site === 0 ? undefined : { site: siteName(site, name.kind), operation: name.operation },
      whole,
    ),
    threads: tabled(
      ({ name, thread }) => ({ thread: threadName(trace, thread), operation: name.operation }),
      whole,
    ),
    by_phase: tabled(
      ({ name, phase }) => ({ phase, operation: name.operation }),
      ({ phase = 'open' }) => phaseSeconds(phase),
    ),
    folded_series: table.folded,
    openings: phases.openings.map(({ object, opened, ready }) => ({
      ...about(object),
      opened_ns: Math.round(opened.time),
      to_ready_ns: ready === undefined ? null : Math.round(ready.time) - Math.round(opened.time),
      ready_by: ready?.register ?? '',
    })),
    resets: collection.resets.map(({ object, operation, at, duration, ok }) => ({
      ...about(object),
      operation,
      at_ns: Math.round(at),
      duration_ns: Math.round(duration),
      ok,
    })),
    mappings: [...collection.mappings.all].map(({ object, operation, calls, failed, bytes, total }) => ({
      object: names.name(object),
      operation,
      calls,
      failed,
      bytes,
      total_ns: total,
      ns_per_mib: bytes === 0 ? 0 : total / (bytes / 2 ** 20),
    })),
    interrupts: [...collection.interrupts.vectors].map(([, vector]) => ({
      ...about(vector.route.device),
      vector: routeName(vector.route),
      in_kernel: vector.inKernel,
      wakes: vector.wakes,
      reads: vector.reads,
      signals: vector.signals,
      signals_per_read: vector.reads === 0 ? 0 : vector.signals / vector.reads,
      largest: vector.largest,
      unread_wakes: vector.unread + (vector.pending ? 1 : 0),
      rate_per_s: Math.max(vector.reads, vector.wakes) / seconds,
      gap: latencyOf(vector.gaps),
    })),
    queues: [...collection.chains.queues.values()].map((chain) => ({
      ...about(chain.device.object),
      queue: chain.queue,
      doorbells: chain.doorbells,
      completions: chain.completions,
      woken: chain.woken,
      doorbell_to_wake: latencyOf(chain.doorbellToWake),
      wake_to_read: latencyOf(chain.wakeToRead),
      read_to_completion: latencyOf(chain.readToCompletion),
      doorbell_to_completion: latencyOf(chain.doorbellToCompletion),
    })),
    perturbation: perturbation(collected, siteName),
  };

  function registerOf({ name }: Cell): string {
    if (name.register !== '') return name.register;
    const isFolded = name.width === 0 && name.offset === 0n && isDevice(names.kind(name.object));
    return isFolded ? '(others)' : `${regionName(name.region)}+${hex(name.offset)}`;
  }
}

export function threadName(trace: Trace, id: number): string {
  const thread = trace.definitions.threads.get(id);
  if (thread === undefined) return id === 0 ? '' : `thread${id}`;
  const process = trace.definitions.processes.get(thread.process);
  const where = process === undefined || process.pid === thread.tid ? '' : `${process.pid}/`;
  return `${where}${thread.tid}${thread.name === '' ? '' : ` ${escapeText(thread.name)}`}`;
}

function latencyOf(histogram: Histogram): Latency | null {
  if (histogram.count === 0) return null;
  return {
    timed: histogram.count,
    min_ns: histogram.min,
    p50_ns: histogram.quantile(0.5),
    p90_ns: histogram.quantile(0.9),
    p99_ns: histogram.quantile(0.99),
    p999_ns: histogram.quantile(0.999),
    max_ns: histogram.max,
    mean_ns: histogram.sum / histogram.count,
    total_ns: histogram.sum,
  };
}
