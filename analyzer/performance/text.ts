// SPDX-License-Identifier: Apache-2.0
/** Statistics as a person reads them. */
import { formatSize } from '../../abi/quantity.js';
import type { Latency, Perturbation, Series, Statistics } from './model.js';

const ROWS_SHOWN = 15;

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

type Column = readonly [title: string, align: 'left' | 'right'];

function table(
  title: string,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  more = 0,
): string {
  if (rows.length === 0) return '';
  const widths = columns.map(([name], n) =>
    Math.max(name.length, ...rows.map((row) => (row[n] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, n) =>
        columns[n]?.[1] === 'left' ? cell.padEnd(widths[n] ?? 0) : cell.padStart(widths[n] ?? 0),
      )
      .join('  ')
      .trimEnd();
  const rest = more > 0 ? `\n  … and ${more} more (--json has all)` : '';
  return `${title}\n  ${line(columns.map(([name]) => name))}\n${rows.map((row) => `  ${line(row)}`).join('\n')}${rest}\n\n`;
}

const LATENCY: readonly Column[] = [
  ['min', 'right'],
  ['p50', 'right'],
  ['p90', 'right'],
  ['p99', 'right'],
  ['p99.9', 'right'],
  ['max', 'right'],
  ['total', 'right'],
];

function latencyCells(latency: Latency | null): readonly string[] {
  if (latency === null) return LATENCY.map(() => '-');
  const { min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, total_ns } = latency;
  return [min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, total_ns].map(formatNs);
}

function seriesTable(
  title: string,
  names: readonly (readonly [string, (row: Series) => string])[],
  rows: readonly Series[],
): string {
  const shown = rows.slice(0, ROWS_SHOWN);
  return table(
    title,
    [
      ...names.map(([name]): Column => [name, 'left']),
      ['count', 'right'],
      ['failed', 'right'],
      ['rate', 'right'],
      ...LATENCY,
    ],
    shown.map((row) => [
      ...names.map(([, text]) => text(row)),
      formatCount(row.count),
      row.failed === 0 ? '' : formatCount(row.failed),
      formatRate(row.rate_per_s),
      ...latencyCells(row.latency),
    ]),
    rows.length - shown.length,
  );
}

export function statisticsText(statistics: Statistics): string {
  const { trace, phases, resets, openings, mappings, interrupts, queues } = statistics;
  const operation = ['operation', (row: Series) => row.operation] as const;
  const object = ['object', (row: Series) => `${row.object ?? ''} ${row.bdf ?? ''}`.trim()] as const;
  let text = `${trace.file}: ${formatCount(trace.events)} events in ${formatNs(trace.duration_ns)}\n\n`;
  text += perturbationText(statistics.perturbation);
  text += table(
    'phases',
    [
      ['device', 'left'],
      ['phase', 'left'],
      ['from', 'right'],
      ['lasted', 'right'],
    ],
    phases.map(({ object: name, bdf, phase, from_ns, duration_ns }) => [
      `${name} ${bdf}`.trim(),
      phase,
      formatNs(from_ns),
      formatNs(duration_ns),
    ]),
  );
  text += seriesTable('operations', [operation], statistics.operations);
  text += seriesTable('by object', [object, operation], statistics.objects);
  text += seriesTable(
    'by register',
    [object, ['register', (row) => row.register ?? ''], operation],
    [...statistics.registers].sort((a, b) => b.count - a.count),
  );
  text += seriesTable('by call site', [['call site', (row) => row.site ?? ''], operation], statistics.sites);
  text += seriesTable('by thread', [['thread', (row) => row.thread ?? ''], operation], statistics.threads);
  text += seriesTable('by phase', [['phase', (row) => row.phase ?? ''], operation], statistics.by_phase);
  text += table(
    'from open to the first doorbell',
    [
      ['device', 'left'],
      ['opened at', 'right'],
      ['ready after', 'right'],
      ['by', 'left'],
    ],
    openings.map(({ object: name, bdf, opened_ns, to_ready_ns, ready_by }) => [
      `${name} ${bdf}`.trim(),
      formatNs(opened_ns),
      to_ready_ns === null ? '-' : formatNs(to_ready_ns),
      ready_by,
    ]),
  );
  text += table(
    'resets',
    [
      ['device', 'left'],
      ['call', 'left'],
      ['at', 'right'],
      ['took', 'right'],
      ['', 'left'],
    ],
    resets
      .slice(0, ROWS_SHOWN)
      .map(({ object: name, bdf, operation: call, at_ns, duration_ns, ok }) => [
        `${name} ${bdf}`.trim(),
        call,
        formatNs(at_ns),
        formatNs(duration_ns),
        ok ? '' : 'failed',
      ]),
    resets.length - ROWS_SHOWN,
  );
  text += table(
    'mapping for DMA',
    [
      ['object', 'left'],
      ['call', 'left'],
      ['calls', 'right'],
      ['failed', 'right'],
      ['memory', 'right'],
      ['total', 'right'],
      ['per MiB', 'right'],
    ],
    mappings.map(({ object: name, operation: call, calls, failed, bytes, total_ns, ns_per_mib }) => [
      name,
      call,
      formatCount(calls),
      failed === 0 ? '' : formatCount(failed),
      formatSize(bytes),
      formatNs(total_ns),
      bytes === 0 ? '-' : formatNs(ns_per_mib),
    ]),
  );
  text += table(
    'interrupts, as the driver saw them',
    [
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
    interrupts
      .slice(0, ROWS_SHOWN)
      .map((vector) => [
        `${vector.object} ${vector.bdf}`.trim(),
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
    interrupts.length - ROWS_SHOWN,
  );
  text += table(
    'queues: doorbell → wake-up → eventfd read → completion, p50 / p99',
    [
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
    queues
      .slice(0, ROWS_SHOWN)
      .map((queue) => [
        `${queue.object} ${queue.bdf}`.trim(),
        queue.queue,
        formatCount(queue.doorbells),
        formatCount(queue.completions),
        formatCount(queue.woken),
        stage(queue.doorbell_to_wake),
        stage(queue.wake_to_read),
        stage(queue.read_to_completion),
        stage(queue.doorbell_to_completion),
      ]),
    queues.length - ROWS_SHOWN,
  );
  return text.trimEnd().concat('\n');
}

function stage(latency: Latency | null): string {
  return latency === null ? '-' : `${formatNs(latency.p50_ns)} / ${formatNs(latency.p99_ns)}`;
}

function perturbationText(perturbation: Perturbation): string {
  const { mmio, costs, share, smallest_gap_ns, waits, waited_ns, lost_events, damaged, unpatched_sites } =
    perturbation;
  const lines = [
    `what the recording itself took (${mmio === '' ? 'no MMIO' : `--mmio ${mmio}`}): about ${(share * 100).toPrecision(2)} % of the recorded time`,
    ...costs.map(
      ({ how, events, each_ns, total_ns }) =>
        `  ${formatCount(events)} × ${how}: ${each_ns === null ? 'not measured' : `${each_ns} ns each, ${formatNs(total_ns ?? 0)}`}`,
    ),
  ];
  if (smallest_gap_ns !== null)
    lines.push(`  the closest two patched accesses of one thread are ${formatNs(smallest_gap_ns)} apart`);
  if (waits > 0)
    lines.push(
      `  threads waited ${formatCount(waits)} times for the recorder, ${formatNs(waited_ns)} in all`,
    );
  if (lost_events > 0)
    lines.push(`  ${formatCount(lost_events)} events were lost: rates and chains are too low there`);
  if (damaged > 0) lines.push(`  ${formatCount(damaged)} parts of the file could not be read`);
  for (const { site, how, why, count } of unpatched_sites.slice(0, 5))
    lines.push(
      `  ${formatCount(count)} accesses by ${site} were ${how}${why === '' ? '' : ` (${why})`}: don't trust their timing`,
    );
  lines.push('  loads and stores are stamped once: they have rates, no latency');
  return `${lines.join('\n')}\n\n`;
}
