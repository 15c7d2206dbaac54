// SPDX-License-Identifier: Apache-2.0
/** How fast a session is reissued: on a device in this process, by system calls through FFI, and at the pace of the recording. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HardwareTarget } from '../../replayer/hardware/hardware-target.js';
import { paceOf } from '../../replayer/replay/pace.js';
import { Replay, replayAll, replayOptions } from '../../replayer/replay/replay.js';
import { SimulatedTarget } from '../../replayer/replay/simulated-target.js';
import type { Target } from '../../replayer/replay/target.js';
import { RecordedSession } from '../../session/fixtures.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { type Area, median, threadCpuNs } from './harness.js';

const OPERATIONS = 1_000_000;
const CONFIG_READS = 500_000;
const PACED = 20_000;
const INTERVAL_NS = 100_000;
const RUNS = 5;
const CONFIG = 7n << 40n;

/** The proportions of an NVMe driver at work: doorbells, a status register now and then, configuration space hardly ever. */
async function writeSession(path: string): Promise<void> {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.map(device, 0, 0x4000n);
  s.store(device, 0, 0x14, 4, 0);
  const from = s.next;
  for (let n = 0; n < 16; n++) {
    s.store(device, 0, 0x1000, 4, 0).store(device, 0, 0x1004, 4, 0);
    s.load(device, 0, 0x1c, 4, 0);
    if (n % 8 === 0) s.load(device, 0, 0x08, 4, 0x0001_0400);
    if (n === 15) s.configRead(device, 0, 4, 0x0010_1b36);
  }
  const to = s.next;
  await s.write(path, { from, to, times: Math.ceil(OPERATIONS / (to - from)) });
}

async function writeConfigReads(path: string): Promise<void> {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  const from = s.next;
  for (let n = 0; n < 64; n++) s.configRead(device, 0, 4, 0);
  await s.write(path, { from, to: s.next, times: CONFIG_READS / 64 });
}

/** Loads 100 us apart, in words that no run of loads holds together. */
async function writePaced(path: string): Promise<void> {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  const from = s.next;
  for (let n = 0; n < 4; n++) s.after(INTERVAL_NS).configRead(device, 4 * (n % 2), 4, 0);
  await s.write(path, { from, to: s.next, times: PACED / 4 });
}

/** The stand-in of the shim's tests: a memfd takes the device's place, calls that set up are not made. */
class StandinTarget extends HardwareTarget {
  readonly #path: string;

  constructor(path: string) {
    super({ bdf: '0000:00:04.0', groupPath: path, cdevPath: path });
    this.#path = path;
  }

  override open(): number {
    return super.open(this.#path);
  }

  override ioctl(_fd: number, request: number): number {
    return request === 0x3b6a ? super.open(this.#path) : 0;
  }

  override ioctlValue(): number {
    return 0;
  }
}

function rate(trace: Trace, target: Target): number {
  const started = threadCpuNs();
  const { operations } = replayAll(new Replay(trace, target, replayOptions()));
  const ns = threadCpuNs() - started;
  target.end();
  return (operations / ns) * 1e9;
}

function medianRate(path: string, target: () => Target): number {
  const rates: number[] = [];
  for (let n = 0; n < RUNS; n++) {
    const trace = openTrace(path);
    rates.push(rate(trace, target()));
    trace.close();
  }
  return median(rates);
}

/** ns that operations came too late, where no scheduler was between, and the operation before was not late itself. */
function lateness(path: string, target: Target): readonly number[] {
  const late: number[] = [];
  const switches = () => process.resourceUsage().involuntaryContextSwitches;
  let before = switches();
  let onTime = false;
  const pace = paceOf('recorded', (ns) => {
    const now = switches();
    if (now === before && onTime) late.push(ns);
    onTime = ns < INTERVAL_NS / 2;
    before = now;
  });
  const trace = openTrace(path);
  replayAll(new Replay(trace, target, replayOptions({ pace })));
  trace.close();
  target.end();
  return late.sort((a, b) => a - b);
}

const C_LOOP = `#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR);
	long count = argc > 2 ? atol(argv[2]) : 0, wrong = 0;
	struct timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (long i = 0; i < count; i++) {
		unsigned value;
		wrong += pread(fd, &value, 4, ${CONFIG}LL) != 4 || value != 0;
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	printf("%f\\n", count / ((b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9));
	return wrong != 0;
}
`;

export const area: Area = {
  name: 'replay',
  async run(report) {
    // On tmpfs: a file of 7 TiB of which one page is there.
    const directory = await mkdtemp(join('/dev/shm', 'vfiotape-bench-')).catch(() =>
      mkdtemp(join(tmpdir(), 'vfiotape-bench-')),
    );
    try {
      const session = join(directory, 'session.vtape');
      await writeSession(session);
      const inprocess = medianRate(session, () => new SimulatedTarget('nvme', ''));
      report({ name: 'replay.inprocess_ops_s', value: inprocess, unit: 'operations/s', goal: '>= 500000' });

      const device = join(directory, 'device');
      await writeFile(device, '');
      execFileSync('truncate', ['-s', String(CONFIG + 4096n), device]);
      const reads = join(directory, 'reads.vtape');
      await writeConfigReads(reads);
      const ffi = medianRate(reads, () => new StandinTarget(device));
      report({ name: 'replay.ffi_ops_s', value: ffi, unit: 'config reads/s', goal: '>= 300000' });
      const source = join(directory, 'loop.c');
      const program = join(directory, 'loop');
      await writeFile(source, C_LOOP);
      execFileSync(process.env['CC'] ?? 'cc', ['-O2', '-o', program, source]);
      const bare: number[] = [];
      for (let n = 0; n < RUNS; n++)
        bare.push(Number(execFileSync(program, [device, String(CONFIG_READS)], { encoding: 'utf8' })));
      report({ name: 'replay.c_loop_ops_s', value: median(bare), unit: 'config reads/s', goal: '' });

      const paced = join(directory, 'paced.vtape');
      await writePaced(paced);
      const late = lateness(paced, new StandinTarget(device));
      const p99 = (late[Math.floor(late.length * 0.99)] ?? 0) / 1000;
      report({ name: 'replay.pacing_p99_us', value: p99, unit: 'us late', goal: '<= 50' });
      report({
        name: 'replay.pacing_kept_percent',
        value: (late.length * 100) / PACED,
        unit: '% undisturbed',
        goal: '',
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};
