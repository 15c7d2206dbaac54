// SPDX-License-Identifier: Apache-2.0
/** Three queries over the data set of 10 M events, by the clock: what somebody waits for; and the memory of a process that asks all three. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { partition } from '../../analyzer/exports/data-set.js';
import { exportTrace } from '../../analyzer/exports/export-trace.js';
import { runQuery } from '../../analyzer/queries/query.js';
import { inChild, serveRun } from './child.js';
import { writeGenerated } from './generated-trace.js';
import { type Area, median } from './harness.js';

const EVENTS = 10_000_000;
const RUNS = 3;
const QUERIES: Readonly<Record<string, string>> = {
  by_operation: 'SELECT operation, count(*), sum(duration_ns) FROM events GROUP BY 1 ORDER BY 3 DESC',
  percentiles:
    'SELECT operation, quantile_disc(duration_ns, 0.5), quantile_disc(duration_ns, 0.99) FROM events WHERE duration_ns > 0 GROUP BY 1',
  hot_registers: `SELECT device, region, "offset", access, count(*) AS n FROM mmio GROUP BY ALL ORDER BY n DESC LIMIT 20`,
};

export const area: Area = {
  name: 'query',
  async run(report) {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      const source = join(directory, 'long.vtape');
      await writeGenerated(source, EVENTS, 'deflate');
      const data = join(directory, 'data');
      await exportTrace({ source, format: 'parquet', path: partition(data, 'long').events });
      for (const [name, sql] of Object.entries(QUERIES)) {
        const seconds: number[] = [];
        for (let n = 0; n < RUNS; n++) {
          const start = process.hrtime.bigint();
          await runQuery(data, sql);
          seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
        }
        report({ name: `query.${name}_s`, value: median(seconds), unit: 's for 10 M events', goal: '' });
      }
      const { peakRssMb } = await inChild(import.meta.url, [data]);
      report({ name: 'query.peak_rss_mb', value: peakRssMb, unit: 'MB', goal: '<= 500' });
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

await serveRun(import.meta.url, async ([data = '']) => {
  for (const sql of Object.values(QUERIES)) await runQuery(data, sql);
  return EVENTS;
});
