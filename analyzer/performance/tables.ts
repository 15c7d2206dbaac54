// SPDX-License-Identifier: Apache-2.0
/** Statistics as a person reads them, one by one: for a terminal (text.ts) and for a report. */
import { formatSize } from '../../abi/quantity.js';
import type { Latency, Perturbation, Statistics } from './model.js';

export const ROWS_SHOWN = 15;

export type StatisticsColumn = readonly [title: string, align: 'left' | 'right'];

export interface StatisticsTable {
  readonly title: string;
  readonly columns: readonly StatisticsColumn[];
  readonly rows: readonly (readonly string[])[];
  /** Rows that were left out, unless less than one. */
  readonly more: number;
}

/** `12 ns`, `3.40 µs`, `1.25 ms`, `2.00 s`. */
export function formatNs(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
  return `${(ns / 1e9).toPrecision(ns < 1e12 ? 3 : 6)} s`;
}

export function formatRate(perSecond: number): string {
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toPrecision(3)}M/s`;
  if (perSecond >= 1e3) return `${(perSecond / 1e3).toPrecision(3)}k/s`;
  return `${perSecond.toPrecision(3)}/s`;
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

function deviceText({ object, bdf }: { readonly object: string; readonly bdf: string }): string {
  return `${object} ${bdf}`.trim();
}

export function phasesTable({ phases }: Statistics): StatisticsTable {
  return {
    title: 'phases',
    columns: [
      ['device', 'left'],
      ['phase', 'left'],
      ['from', 'right'],
      ['lasted', 'right'],
    ],
    rows: phases.map(({ phase, from_ns, duration_ns, ...device }) => [
      deviceText(device),
      phase,
      formatNs(from_ns),
      formatNs(duration_ns),
    ]),
    more: 0,
  };
}

export function openingsTable({ openings }: Statistics): StatisticsTable {
  return {
    title: 'from open to the first doorbell',
    columns: [
      ['device', 'left'],
      ['opened at', 'right'],
      ['ready after', 'right'],
      ['by', 'left'],
    ],
    rows: openings.map(({ opened_ns, to_ready_ns, ready_by, ...device }) => [
      deviceText(device),
      formatNs(opened_ns),
      to_ready_ns === null ? '-' : formatNs(to_ready_ns),
      ready_by,
    ]),
    more: 0,
  };
}

export function resetsTable({ resets }: Statistics): StatisticsTable {
  return {
    title: 'resets',
    columns: [
      ['device', 'left'],
      ['call', 'left'],
      ['at', 'right'],
      ['took', 'right'],
      ['', 'left'],
    ],
    rows: resets
      .slice(0, ROWS_SHOWN)
      .map(({ operation: call, at_ns, duration_ns, ok, ...device }) => [
        deviceText(device),
        call,
        formatNs(at_ns),
        formatNs(duration_ns),
        ok ? '' : 'failed',
      ]),
    more: resets.length - ROWS_SHOWN,
  };
}

export function mappingsTable({ mappings }: Statistics): StatisticsTable {
  return {
    title: 'mapping for DMA',
    columns: [
      ['object', 'left'],
      ['call', 'left'],
      ['calls', 'right'],
      ['failed', 'right'],
      ['memory', 'right'],
      ['total', 'right'],
      ['per MiB', 'right'],
    ],
    rows: mappings.map(({ object: name, operation: call, calls, failed, bytes, total_ns, ns_per_mib }) => [
      name,
      call,
      formatCount(calls),
      failed === 0 ? '' : formatCount(failed),
      formatSize(bytes),
      formatNs(total_ns),
      bytes === 0 ? '-' : formatNs(ns_per_mib),
    ]),
    more: 0,
  };
}

export function interruptsTable({ interrupts }: Statistics): StatisticsTable {
  return {
    title: 'interrupts, as the driver saw them',
    columns: [
      ['device', 'left'],
      ['vector', 'left'],
      ['wakes', 'right'],
      ['reads', 'right'],
      ['signals', 'right'],
      ['per read', 'right'],
      ['most', 'right'],
      ['unread', 'right'],
      ['rate', 'right'],
      ['gap p50', 'right'],
    ],
    rows: interrupts
      .slice(0, ROWS_SHOWN)
      .map((vector) => [
        deviceText(vector),
        `${vector.vector}${vector.in_kernel ? ' (to KVM: not seen)' : ''}`,
        formatCount(vector.wakes),
        formatCount(vector.reads),
        formatCount(vector.signals),
        vector.signals_per_read.toFixed(2),
        formatCount(vector.largest),
        formatCount(vector.unread_wakes),
        formatRate(vector.rate_per_s),
        vector.gap === null ? '-' : formatNs(vector.gap.p50_ns),
      ]),
    more: interrupts.length - ROWS_SHOWN,
  };
}

export function queuesTable({ queues }: Statistics): StatisticsTable {
  return {
    title: 'queues: doorbell → wake-up → eventfd read → completion, p50 / p99',
    columns: [
      ['device', 'left'],
      ['queue', 'left'],
      ['doorbells', 'right'],
      ['completions', 'right'],
      ['by interrupt', 'right'],
      ['to wake-up', 'right'],
      ['to read', 'right'],
      ['to completion', 'right'],
      ['in all', 'right'],
    ],
    rows: queues
      .slice(0, ROWS_SHOWN)
      .map((queue) => [
        deviceText(queue),
        queue.queue,
        formatCount(queue.doorbells),
        formatCount(queue.completions),
        formatCount(queue.woken),
        stage(queue.doorbell_to_wake),
        stage(queue.wake_to_read),
        stage(queue.read_to_completion),
        stage(queue.doorbell_to_completion),
      ]),
    more: queues.length - ROWS_SHOWN,
  };
}

function stage(latency: Latency | null): string {
  return latency === null ? '-' : `${formatNs(latency.p50_ns)} / ${formatNs(latency.p99_ns)}`;
}

/** What the recording itself took, what it cost by kind of event, and what else is to be known of the timings. */
export function perturbationTexts(perturbation: Perturbation): {
  readonly head: string;
  readonly costs: readonly string[];
  readonly notes: readonly string[];
} {
  const { mmio, costs, share, smallest_gap_ns, waits, waited_ns, lost_events, damaged, unpatched_sites } =
    perturbation;
  const notes: string[] = [];
  if (smallest_gap_ns !== null)
    notes.push(`the closest two patched accesses of one thread are ${formatNs(smallest_gap_ns)} apart`);
  if (waits > 0)
    notes.push(`threads waited ${formatCount(waits)} times for the recorder, ${formatNs(waited_ns)} in all`);
  if (lost_events > 0)
    notes.push(`${formatCount(lost_events)} events were lost: rates and chains are too low there`);
  if (damaged > 0) notes.push(`${formatCount(damaged)} parts of the file could not be read`);
  for (const { site, how, why, count } of unpatched_sites.slice(0, 5))
    notes.push(
      `${formatCount(count)} ${count === 1 ? 'access' : 'accesses'} by ${site} ${count === 1 ? 'was' : 'were'} ${how}${why === '' ? '' : ` (${why})`}: don't trust ${count === 1 ? 'its' : 'their'} timing`,
    );
  if (costs.some(({ how }) => how.startsWith('access')))
    notes.push('loads and stores are stamped once: they have rates, no latency');
  return {
    head: `what the recording itself took (${mmio === '' ? 'no MMIO' : `--mmio ${mmio}`}): about ${(share * 100).toPrecision(2)} % of the recorded time`,
    costs: costs.map(
      ({ how, events, each_ns, total_ns }) =>
        `${formatCount(events)} × ${how}: ${each_ns === null ? 'not measured' : `${each_ns} ns each, ${formatNs(total_ns ?? 0)}`}`,
    ),
    notes,
  };
}
