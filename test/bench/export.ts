// SPDX-License-Identifier: Apache-2.0
/** Exports of 10 M events to each format, by the CPU time of all threads, and by the clock: Parquet is compressed on other cores meanwhile. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportTrace } from '../../analyzer/exports/export-trace.js';
import {
  EXPORT_FORMAT_NAMES,
  EXPORT_FORMATS,
  type ExportFormatName,
} from '../../analyzer/exports/formats.js';
import { openTrace } from '../../traces/reader.js';
import { inChild, serveRun } from './child.js';
import { writeGenerated } from './generated-trace.js';
import { type Area, median } from './harness.js';

const EVENTS = 10_000_000;
/** Text is several GB: a tenth will do. */
const SHORT = EVENTS / 10;
const RUNS = 3;
const GOALS: Readonly<Partial<Record<ExportFormatName, string>>> = { parquet: '>= 1', perfetto: '>= 1' };

export const area: Area = {
  name: 'export',
  async run(report) {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      const long = join(directory, 'long.vtape');
      const short = join(directory, 'short.vtape');
      await writeGenerated(long, EVENTS, 'deflate');
      await writeGenerated(short, SHORT, 'deflate');
      let peak = 0;
      for (const format of EXPORT_FORMAT_NAMES) {
        const goal = GOALS[format];
        const target = join(directory, 'out');
        const byClock: number[] = [];
        const byCpu: number[] = [];
        for (let n = 0; n < RUNS; n++) {
          const run = await inChild(import.meta.url, [goal === undefined ? short : long, format, target]);
          byClock.push((run.events / run.wallNs) * 1000);
          byCpu.push((run.events / run.processNs) * 1000);
          peak = Math.max(peak, run.peakRssMb);
        }
        report({
          name: `export.${format}_mev_s`,
          value: median(byCpu),
          unit: 'M events/s of CPU',
          goal: goal ?? '',
        });
        report({
          name: `export.${format}_clock_mev_s`,
          value: median(byClock),
          unit: 'M events/s',
          goal: '',
        });
      }
      const whole: number[] = [];
      for (let n = 0; n < RUNS; n++) {
        const run = await inChild(import.meta.url, [long, 'perfetto', join(directory, 'out'), 'rules']);
        whole.push((run.events / run.wallNs) * 1000);
        peak = Math.max(peak, run.peakRssMb);
      }
      report({
        name: 'export.perfetto_with_rules_mev_s',
        value: median(whole),
        unit: 'M events/s',
        goal: '',
      });
      report({ name: 'export.peak_rss_mb', value: peak, unit: 'MB, the most', goal: '<= 500' });
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

await serveRun(import.meta.url, async ([source = '', format = '', path = '', rules = '']) => {
  if (rules !== '') {
    const { events } = await exportTrace({ source, format: format as ExportFormatName, path });
    return events;
  }
  const trace = openTrace(source);
  await EXPORT_FORMATS[format as ExportFormatName].write({ trace, path, findings: async () => [] });
  trace.close();
  return trace.eventCount;
});
