// SPDX-License-Identifier: Apache-2.0
/** How long a driver waits for the simulated kernel, and what a simulator takes that nobody asks anything. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../abi/package-root.js';
import { compileC, EXAMPLE_VFIO } from '../compile.js';
import { type Area, type Figure, median } from './harness.js';

const root = packageRoot();
const command = join(root, 'dist/cli/main.js');
const BDF = '0000:00:04.0';
const CALLS = 10_000;
const READS = 20_000;
const RUNS = 5;
const IDLE_MS = 5000;
/** USER_HZ of every Linux on x86-64. */
const TICKS_PER_SECOND = 100;

type Report = (figure: Figure) => void;

/** Into `directory`. */
export function buildSimLatency(directory: string): string {
  const program = join(directory, 'sim-latency');
  compileC(program, ['test/bench/sim-latency.c', ...EXAMPLE_VFIO]);
  return program;
}

function onSimulatedDrive(verb: readonly string[], driver: readonly string[]): string {
  return execFileSync(process.execPath, [command, ...verb, '--sim', 'nvme', '--', ...driver], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 300_000,
  });
}

function roundTrips(program: string, report: Report): void {
  const runs = Array.from({ length: RUNS }, () => {
    const lines = onSimulatedDrive(['run'], [program, 'calls', String(CALLS), BDF]);
    return new Map([...lines.matchAll(/^(\S+) (\d+)$/gm)].map(([, name, ns]) => [name, Number(ns) / 1000]));
  });
  const say = (name: string, of: string, goal: string): void => {
    const value = median(runs.map((run) => run.get(of) ?? Number.NaN));
    report({ name: `sim.${name}_us`, value, unit: 'us a round trip', goal });
  };
  say('config_read', 'config_read', '<= 60');
  say('register_read', 'register_read', '<= 60');
  say('doorbell', 'doorbell', '<= 60');
  say('register_read_p99', 'register_read.p99', '');
  say('nvme_command', 'command', '');
}

/** By what qemu-img itself says. */
function readsPerSecond(verb: readonly string[]): number {
  const bench = ['qemu-img', 'bench', '-c', String(READS), '-d', '8', '-s', '4096', '-f', 'raw'];
  const rates: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const said = onSimulatedDrive(verb, [...bench, `nvme://${BDF}/1`]);
    const [, seconds] = /^Run completed in ([\d.]+) seconds/m.exec(said) ?? [];
    rates.push(READS / Number(seconds));
  }
  return median(rates);
}

function hasQemu(): boolean {
  try {
    execFileSync('qemu-img', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** CPU time of a process so far, all threads, in seconds. */
function cpuSeconds(pid: number): number {
  // After the name, which may have any character in it: state is the first field, utime the 12th, stime the 13th.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' '))
    .filter((child) => child !== '')
    .map(Number);
}

/** What simulator and driver take while the driver, its controller enabled, sleeps: in percent of one processor. */
async function idle(program: string, report: Report): Promise<void> {
  const child = spawn(process.execPath, [command, 'run', '--sim', 'nvme', '--', program, 'idle', BDF], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error('sim-latency idle ended early')));
  });
  const pid = child.pid as number;
  const total = (): number => [pid, ...childrenOf(pid)].reduce((sum, one) => sum + cpuSeconds(one), 0);
  // The compiler and the garbage collector have come to rest by then.
  await sleep(1000);
  const before = total();
  await sleep(IDLE_MS);
  const value = (100 * (total() - before)) / (IDLE_MS / 1000);
  child.stdin.end();
  await ended;
  report({ name: 'sim.idle_cpu_percent', value, unit: '% of a processor', goal: '<= 1' });
}

export const area: Area = {
  name: 'sim',
  async run(report) {
    const directory = mkdtempSync(join(tmpdir(), 'vfiotape-bench-'));
    try {
      const program = buildSimLatency(directory);
      roundTrips(program, report);
      if (hasQemu()) {
        const say = (name: string, value: number, goal: string): void =>
          report({ name, value, unit: 'reads/s of 4 KiB', goal });
        say('sim.nvme_reads_per_s', readsPerSecond(['run']), '>= 5000');
        const recording = ['record', '-o', join(directory, 'bench.vtape')];
        say('sim.nvme_recorded_reads_per_s', readsPerSecond(recording), '');
      } else {
        process.stderr.write('bench: qemu-img is not installed: no sim.nvme_reads_per_s\n');
      }
      await idle(program, report);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};
