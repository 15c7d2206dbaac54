// SPDX-License-Identifier: Apache-2.0
/** Statistics as a person reads them. */
import type { Latency, Perturbation, Series, Statistics } from './model.js';
import {
  formatCount,
  formatNs,
  formatRate,
  interruptsTable,
  mappingsTable,
  openingsTable,
  perturbationTexts,
  phasesTable,
  queuesTable,
  ROWS_SHOWN,
  resetsTable,
  type StatisticsColumn,
  type StatisticsTable,
} from './tables.js';

function table({ title, columns, rows, more }: StatisticsTable): string {
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

const LATENCY: readonly StatisticsColumn[] = [
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
  return table({
    title,
    columns: [
      ...names.map(([name]): StatisticsColumn => [name, 'left']),
      ['count', 'right'],
      ['failed', 'right'],
      ['rate', 'right'],
      ...LATENCY,
    ],
    rows: shown.map((row) => [
      ...names.map(([, text]) => text(row)),
      formatCount(row.count),
      row.failed === 0 ? '' : formatCount(row.failed),
      formatRate(row.rate_per_s),
      ...latencyCells(row.latency),
    ]),
    more: rows.length - shown.length,
  });
}

export function statisticsText(statistics: Statistics): string {
  const { trace } = statistics;
  const operation = ['operation', (row: Series) => row.operation] as const;
  const object = ['object', (row: Series) => `${row.object ?? ''} ${row.bdf ?? ''}`.trim()] as const;
  let text = `${trace.file}: ${formatCount(trace.events)} events in ${formatNs(trace.duration_ns)}\n\n`;
  text += perturbationText(statistics.perturbation);
  text += table(phasesTable(statistics));
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
  text += table(openingsTable(statistics));
  text += table(resetsTable(statistics));
  text += table(mappingsTable(statistics));
  text += table(interruptsTable(statistics));
  text += table(queuesTable(statistics));
  return text.trimEnd().concat('\n');
}

function perturbationText(perturbation: Perturbation): string {
  const { head, costs, notes } = perturbationTexts(perturbation);
  return `${[head, ...[...costs, ...notes].map((line) => `  ${line}`)].join('\n')}\n\n`;
}
