// SPDX-License-Identifier: Apache-2.0
/** What a trace costs: bytes, events written and read per second of CPU, memory. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CHUNK_EVENTS, type ColumnName, EventBatch } from '../../traces/columns.js';
import { openTrace } from '../../traces/reader.js';
import { Generator } from './generate.js';
import { writeGenerated } from './generated-trace.js';
import { type Area, medianOf, peakRssMb, threadCpuNs } from './harness.js';

const LONG_EVENTS = 10_000_000;
/** So many of them in chunks of 65536: a scan of 4 M events takes long enough to be timed. */
const SCANNED_CHUNKS = 61;

/** What a statistic of the columns does at least: count and add the durations for each kind. */
class Statistic {
  private readonly counts = new Float64Array(256);
  private readonly sums = new Float64Array(256);
  events = 0;

  take(batch: EventBatch): void {
    const { counts, sums } = this;
    const { kind, durationWords, begin, end } = batch;
    for (let i = begin; i < end; i++) {
      const k = kind[i] as number;
      counts[k] = (counts[k] as number) + 1;
      sums[k] =
        (sums[k] as number) +
        (durationWords[2 * i] as number) +
        (durationWords[2 * i + 1] as number) * 4294967296;
    }
    this.events += end - begin;
  }
}

function scan(path: string, columns: readonly ColumnName[] | undefined): { events: number; ns: number } {
  const statistic = new Statistic();
  const start = threadCpuNs();
  const trace = openTrace(path);
  for (const batch of trace.batches(columns === undefined ? {} : { columns, payloads: false })) {
    statistic.take(batch);
  }
  trace.close();
  const ns = threadCpuNs() - start;
  if (statistic.events !== trace.eventCount || trace.damages.length > 0) {
    throw new Error(
      `the scan of ${path} went wrong: ${statistic.events} events, ${trace.damages[0]?.message}`,
    );
  }
  return { events: statistic.events, ns };
}

/** The statistic alone, of columns that are in memory: what no reader can be faster than. */
function floorRate(): Promise<number> {
  const batch = new EventBatch();
  new Generator().fill(batch, CHUNK_EVENTS);
  batch.end = batch.length;
  return medianOf(() => {
    const statistic = new Statistic();
    const start = threadCpuNs();
    for (let n = 0; n < SCANNED_CHUNKS; n++) {
      statistic.take(batch);
    }
    return (statistic.events / (threadCpuNs() - start)) * 1000;
  });
}

function scanRate(path: string, columns: readonly ColumnName[] | undefined): Promise<number> {
  return medianOf(() => {
    const { events, ns } = scan(path, columns);
    return (events / ns) * 1000;
  });
}

export const area: Area = {
  name: 'trace',
  async run(report) {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      const sealed = join(directory, 'sealed.vtape');
      const uncompressed = join(directory, 'uncompressed.vtape');
      const events = SCANNED_CHUNKS * CHUNK_EVENTS;
      const sealing = await medianOf(() => writeGenerated(sealed, 16 * CHUNK_EVENTS, 'deflate'));
      report({
        name: 'trace.seal_mev_s',
        value: (16 * CHUNK_EVENTS * 1000) / sealing,
        unit: 'M events/s of CPU',
        goal: '',
      });
      await writeGenerated(sealed, events, 'deflate');
      await writeGenerated(uncompressed, events, 'none');
      const { size = 0, eventCount } = openTrace(sealed);
      report({ name: 'trace.bytes_per_event', value: size / eventCount, unit: 'bytes', goal: '<= 8' });
      report({
        name: 'trace.scan_floor_mev_s',
        value: await floorRate(),
        unit: 'M events/s',
        goal: '',
      });
      const two: readonly ColumnName[] = ['kind', 'duration'];
      for (const [name, path, columns, goal] of [
        ['trace.scan_two_columns_mev_s', sealed, two, '>= 30'],
        ['trace.scan_all_mev_s', sealed, undefined, '>= 12'],
        ['trace.scan_two_columns_uncompressed_mev_s', uncompressed, two, '>= 60'],
        ['trace.scan_all_uncompressed_mev_s', uncompressed, undefined, '>= 30'],
      ] as const) {
        report({ name, value: await scanRate(path, columns), unit: 'M events/s', goal });
      }
      const long = join(directory, 'long.vtape');
      await writeGenerated(long, LONG_EVENTS, 'deflate');
      // A process of its own: this one has generated and written.
      const { stdout } = await promisify(execFile)(process.execPath, [
        ...process.execArgv,
        fileURLToPath(import.meta.url),
        long,
      ]);
      report({
        name: 'trace.peak_rss_mb',
        value: Number(stdout),
        unit: 'MB for 10 M events',
        goal: '<= 200',
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  scan(process.argv[2], undefined);
  process.stdout.write(String(peakRssMb()));
}
