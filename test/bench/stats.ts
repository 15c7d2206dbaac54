// SPDX-License-Identifier: Apache-2.0
/** Statistics of 10 M events: how fast, in how much memory, and whether SQL over the same events says the same. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { statistics } from '../../analyzer/performance/statistics.js';
import { openTrace } from '../../traces/reader.js';
import { differencesFromSql } from '../stats/independent.js';
import { inChild, serveRun } from './child.js';
import { writeGenerated } from './generated-trace.js';
import { type Area, median } from './harness.js';

const EVENTS = 10_000_000;
const RUNS = 5;

export const area: Area = {
  name: 'stats',
  async run(report) {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      const path = join(directory, 'long.vtape');
      await writeGenerated(path, EVENTS, 'deflate');
      const rates: number[] = [];
      const peaks: number[] = [];
      for (let n = 0; n < RUNS; n++) {
        const { events, threadNs, peakRssMb } = await inChild(import.meta.url, [path]);
        rates.push((events / threadNs) * 1000);
        peaks.push(peakRssMb);
      }
      report({ name: 'stats.mev_s', value: median(rates), unit: 'M events/s', goal: '>= 10' });
      report({ name: 'stats.peak_rss_mb', value: median(peaks), unit: 'MB for 10 M events', goal: '<= 200' });
      const { compared, differences } = await differencesFromSql(path, join(directory, 'tables'));
      for (const difference of differences) process.stderr.write(`${difference}\n`);
      report({ name: 'stats.series_compared', value: compared, unit: 'with SQL', goal: '' });
      report({ name: 'stats.differences', value: differences.length, unit: 'from SQL', goal: '<= 0' });
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

await serveRun(import.meta.url, async ([path = '']) => {
  const trace = openTrace(path);
  const { trace: about } = statistics(trace);
  trace.close();
  return about.events;
});
