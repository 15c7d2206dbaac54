// SPDX-License-Identifier: Apache-2.0
/** Compares each series of the statistics with what DuckDB computes from the Parquet of the same trace. */
import { partition } from '../../analyzer/exports/data-set.js';
import { exportTrace } from '../../analyzer/exports/export-trace.js';
import type { Series } from '../../analyzer/performance/model.js';
import { statistics } from '../../analyzer/performance/statistics.js';
import { runQuery } from '../../analyzer/queries/query.js';
import { openTrace } from '../../traces/reader.js';
import { queueRows } from './independent-chains.js';
import {
  type BothRows,
  mappingRows,
  openingRows,
  phaseRows,
  phaseStartRows,
  pollingRows,
  resetRows,
  vectorRows,
} from './independent-series.js';

const THREAD = `CASE WHEN pid = tid THEN '' ELSE pid || '/' END || tid || coalesce(' ' || nullif(thread, ''), '')`;

const TABLES = {
  operations: ['operation'],
  objects: ['object', 'operation'],
  sites: ['site', 'operation'],
  registers: ['object', 'register', 'operation'],
  threads: ['thread', 'operation'],
} as const;

export async function differencesFromSql(
  source: string,
  directory: string,
): Promise<{ readonly compared: number; readonly differences: readonly string[] }> {
  await exportTrace({ source, format: 'parquet', path: partition(directory, 's').events });
  const trace = openTrace(source);
  const found = statistics(trace);
  const differences: string[] = [];
  let compared = 0;
  const series: Readonly<Record<string, BothRows>> = {
    queues: await queueRows(directory, found),
    interrupts: await vectorRows(directory, found),
    resets: await resetRows(directory, found),
    mappings: await mappingRows(directory, found),
    openings: await openingRows(directory, found),
    'phase starts': await phaseStartRows(directory, found),
    'by phase': await phaseRows(directory, trace, found),
    'polling loops': await pollingRows(directory, source),
  };
  trace.close();
  for (const [name, { ours, sql }] of Object.entries(series)) {
    compared += ours.length;
    for (const row of ours) if (!sql.includes(row)) differences.push(`${name}: ${row} is not what SQL has`);
    for (const row of sql) if (!ours.includes(row)) differences.push(`${name}: SQL has ${row}`);
  }
  for (const [table, keys] of Object.entries(TABLES) as [keyof typeof TABLES, readonly (keyof Series)[]][]) {
    const named = keys.map((key) =>
      key === 'register'
        ? `coalesce(register, region || '+0x' || printf('%x', "offset")) AS register`
        : key === 'thread'
          ? `${THREAD} AS thread`
          : `coalesce(${key}, '') AS ${key}`,
    );
    const where =
      table === 'sites' ? 'WHERE site IS NOT NULL' : table === 'registers' ? 'WHERE region IS NOT NULL' : '';
    const { rows } = await runQuery(
      directory,
      `WITH named AS (SELECT ${named.join(', ')}, duration_ns, errno FROM events ${where})
       SELECT ${keys.join(', ')}, count(*), count(errno), count(*) FILTER (duration_ns > 0), sum(duration_ns),
         min(duration_ns) FILTER (duration_ns > 0), max(duration_ns),
         ${[0.5, 0.9, 0.99, 0.999].map((part) => `quantile_disc(duration_ns, ${part}) FILTER (duration_ns > 0)`).join(', ')}
       FROM named GROUP BY ALL`,
    );
    const bySql = new Map(rows.map((row) => [row.slice(0, keys.length).join('\0'), row.slice(keys.length)]));
    const series = found[table];
    if (bySql.size !== series.length)
      differences.push(`${table}: ${series.length} series, SQL has ${bySql.size}`);
    for (const one of series) {
      const key = keys.map((name) => one[name] ?? '').join('\0');
      const row = bySql.get(key)?.map(Number);
      if (row === undefined) {
        differences.push(`${table}: SQL lacks ${key.replaceAll('\0', ' ')}`);
        continue;
      }
      compared++;
      const { latency } = one;
      const exact = [
        one.count,
        one.failed,
        latency?.timed ?? 0,
        latency?.total_ns ?? 0,
        latency?.min_ns ?? 0,
        latency?.max_ns ?? 0,
      ];
      if (exact.some((value, n) => value !== (row[n] ?? 0)))
        differences.push(
          `${table} ${key.replaceAll('\0', ' ')}: ${exact.join(' ')}, SQL ${row.slice(0, 6).join(' ')}`,
        );
      const quantiles = [latency?.p50_ns, latency?.p90_ns, latency?.p99_ns, latency?.p999_ns];
      quantiles.forEach((value = 0, n) => {
        const sql = row[6 + n] ?? 0;
        if (Math.abs(value - sql) > sql * found.quantile_error)
          differences.push(`${table} ${key.replaceAll('\0', ' ')}: quantile ${n} is ${value}, SQL ${sql}`);
      });
    }
  }
  return { compared, differences };
}
