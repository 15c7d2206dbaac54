// SPDX-License-Identifier: Apache-2.0
/** How fast the whole set of rules goes through a long NVMe session, and in how much memory. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { check } from '../../analyzer/check/check.js';
import { RecordedSession } from '../../session/fixtures.js';
import { openTrace } from '../../traces/reader.js';
import { type Area, median, peakRssMb, threadCpuNs } from './harness.js';

const QUEUES = 4;
const DOORBELLS = 0x1000;
const COMMANDS = 64;

/** A drive with four queue pairs, opened and closed as it should be, and what it does in between, over and over. */
async function writeNvmeSession(path: string, events: number): Promise<void> {
  const s = new RecordedSession();
  const { container, group, device } = s.openNvme();
  s.map(device, 0, 0x4000n);
  s.store(device, 0, 0x14, 4, 0);
  s.load(device, 0, 0x1c, 4, 0);
  s.mapDma(container, { iova: 0n, size: 0x40_0000n });
  s.configWrite(device, 4, 2, 0x0406);
  s.store(device, 0, 0x24, 4, 0x001f_001f);
  s.store(device, 0, 0x28, 8, 0x1000n);
  s.store(device, 0, 0x30, 8, 0x2000n);
  s.store(device, 0, 0x14, 4, 0x0046_0001);
  s.load(device, 0, 0x1c, 4, 1);
  const eventfds = Array.from({ length: QUEUES + 1 }, () => s.eventfd());
  s.setIrqs(device, { index: 2, eventfds });
  const from = s.next;
  for (let command = 0; command < COMMANDS; command++) {
    const queue = 1 + (command % QUEUES);
    const eventfd = eventfds[queue] as (typeof eventfds)[number];
    s.store(device, 0, DOORBELLS + queue * 8, 4, command);
    if (command % 2 === 0) s.wake(eventfd).readEventfd(eventfd);
    s.store(device, 0, DOORBELLS + queue * 8 + 4, 4, command);
    if (command % 16 === 0) s.load(device, 0, 0x1c, 4, 1);
  }
  // Memory that is used once, as QEMU maps it.
  s.mapDma(container, { iova: 0x100_0000n, size: 0x1_0000n });
  s.unmapDma(container, { iova: 0x100_0000n, size: 0x1_0000n });
  const to = s.next;
  s.store(device, 0, 0x14, 4, 0x0046_0000);
  s.load(device, 0, 0x1c, 4, 0);
  s.setIrqs(device, { index: 2 });
  s.configWrite(device, 4, 2, 0x0402);
  s.unmapDma(container, { iova: 0n, size: 0x40_0000n });
  s.close(device).close(group).close(container);
  s.exit();
  await s.write(path, { from, to, times: Math.ceil(events / (to - from)) });
}

interface Run {
  readonly events: number;
  readonly cpuNs: number;
  readonly peakRssMb: number;
}

function checkOnce(path: string): Run {
  const start = threadCpuNs();
  const trace = openTrace(path);
  check(trace);
  const cpuNs = threadCpuNs() - start;
  trace.close();
  return { events: trace.eventCount, cpuNs, peakRssMb: peakRssMb() };
}

/** In a process of its own: a command line starts with nothing compiled, and its memory is what counts. */
async function inProcess(path: string): Promise<Run> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...process.execArgv,
    fileURLToPath(import.meta.url),
    path,
  ]);
  return JSON.parse(stdout) as Run;
}

/** As many events in as much time, however long the session: the rates of all three are nearly the same. */
const LENGTHS = [
  { events: 10_000_000, suffix: '', runs: 5, goals: ['>= 5', '<= 200'] },
  { events: 5_000_000, suffix: '5m_', runs: 3, goals: ['', ''] },
  { events: 1_000_000, suffix: '1m_', runs: 3, goals: ['', ''] },
] as const;

export const area: Area = {
  name: 'check',
  async run(report) {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      for (const { events: wanted, suffix, runs, goals } of LENGTHS) {
        const path = join(directory, `${wanted}.vtape`);
        await writeNvmeSession(path, wanted);
        const rates: number[] = [];
        const peaks: number[] = [];
        for (let n = 0; n < runs; n++) {
          const { events, cpuNs, peakRssMb: peak } = await inProcess(path);
          rates.push((events / cpuNs) * 1000);
          peaks.push(peak);
        }
        await rm(path);
        const length = `for ${wanted / 1e6} M events`;
        const [rate, peak] = goals;
        report({
          name: `check.${suffix}mev_s`,
          value: median(rates),
          unit: `M events/s ${length}`,
          goal: rate,
        });
        report({
          name: `check.${suffix}peak_rss_mb`,
          value: median(peaks),
          unit: `MB ${length}`,
          goal: peak,
        });
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  process.stdout.write(JSON.stringify(checkOnce(process.argv[2])));
}
