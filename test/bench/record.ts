// SPDX-License-Identifier: Apache-2.0
/** What recording costs the driver, and how much the recorder keeps up with. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../../abi/package-root.js';
import { openTrace } from '../../traces/reader.js';
import { compileC } from '../compile.js';
import { type Area, type Figure, RUNS } from './harness.js';

const run = promisify(execFile);
const root = packageRoot();
const CALLS = 100_000;
/** Tracers that stop the driver at each call are a hundred times slower. */
const SLOW_CALLS = 2000;
const RATE = 2_000_000;
const MINUTE = 60;
const SATURATED_EVENTS = 30_000_000;

type Report = (figure: Figure) => void;
type Costs = ReadonlyMap<string, number>;

/** Into `directory`: `hook-cost`, what a call costs; `ring-producer`, which fills rings at a given rate. */
export function buildRecordProgram(directory: string, name: 'hook-cost' | 'ring-producer'): string {
  const program = join(directory, name);
  compileC(program, [`test/bench/${name}.c`]);
  return program;
}

function costsOf(stdout: string): Costs {
  return new Map(
    [...stdout.matchAll(/^(\S+) ([\d.]+)$/gm)].map(([, name = '', value]) => [name, Number(value)]),
  );
}

function cost(costs: Costs, name: string): number {
  const value = costs.get(name);
  if (value === undefined) throw new Error(`hook-cost did not say ${name}`);
  return value;
}

async function available(tool: string, ...args: readonly string[]): Promise<boolean> {
  try {
    await run(tool, [...args]);
    return true;
  } catch {
    return false;
  }
}

async function hookCosts(directory: string, report: Report): Promise<void> {
  const program = buildRecordProgram(directory, 'hook-cost');
  const recorder = join(root, 'dist/test/end-to-end/record-standin.js');
  const numbers = [String(RUNS), String(CALLS)];
  const bare = costsOf((await run(program, numbers)).stdout);
  const trace = join(directory, 'hook.vtape');
  const recorded = costsOf((await run(process.execPath, [recorder, trace, program, ...numbers])).stdout);
  const { eventCount } = openTrace(trace);
  if (eventCount < (RUNS + 1) * CALLS * 6) throw new Error(`only ${eventCount} of the calls were recorded`);

  const ns = (name: string, value: number, goal = ''): void => report({ name, value, unit: 'ns', goal });
  ns('record.rdtsc_ns', cost(bare, 'rdtsc'));
  ns('record.pread.bare_ns', cost(recorded, 'pread1.bare'));
  ns('record.pread.overhead_ns', cost(recorded, 'pread1.hook'), '<= 40');
  ns('record.pread.overhead_two_threads_ns', cost(recorded, 'pread2.hook'), '<= 40');
  // The stand-in answers in the shim, so that all of the recorded call is recording; a kernel's ioctl comes on top.
  ns('record.ioctl.overhead_ns', cost(recorded, 'ioctl1.cpu'));
  ns('record.ioctl.overhead_two_threads_ns', cost(recorded, 'ioctl2.cpu'));

  const slow = [String(RUNS), String(SLOW_CALLS), 'pread'];
  const output = join(directory, 'tracer.out');
  const tracers: readonly (readonly [string, readonly string[], boolean])[] = [
    ['strace', ['strace', '-f', '-e', 'trace=pread64', '-o', output], await available('strace', '-V')],
    [
      'perf_trace',
      ['perf', 'trace', '-e', 'pread64', '-o', output, '--'],
      await available('perf', 'trace', '-o', output, 'true'),
    ],
  ];
  const slowBare = cost(costsOf((await run(program, slow)).stdout), 'pread1.wall');
  for (const [name, [tool = '', ...args], there] of tracers) {
    if (!there) continue;
    const traced = costsOf((await run(tool, [...args, program, ...slow])).stdout);
    ns(`record.${name}_overhead_ns`, cost(traced, 'pread1.wall') - slowBare);
  }
}

interface Production {
  readonly events: number;
  readonly seconds: number;
  readonly waitedNs: number;
  readonly lost: number;
}

/** Runs ring-producer under `record`; the trace must hold what was produced. */
async function produce(
  directory: string,
  program: string,
  rate: number,
  count: number,
  mode: 'block' | 'drop',
): Promise<Production> {
  const path = join(directory, 'sustained.vtape');
  const command = [join(root, 'dist/cli/main.js'), 'record', '-o', path, '--when-full', mode, '--'];
  const { stdout } = await run(process.execPath, [
    ...command,
    program,
    '-',
    '1',
    String(rate),
    String(count),
  ]);
  const [, events, seconds, waitedNs] =
    /^events (\d+) seconds ([\d.]+) waits \d+ waited-ns (\d+)/.exec(stdout) ?? [];
  const trace = openTrace(path);
  const { summary, eventCount } = trace;
  trace.close();
  if (summary === undefined || eventCount < Number(events)) {
    throw new Error(`${eventCount} events in the trace of ${events}`);
  }
  const lost = summary.losses.reduce((sum, loss) => sum + loss.events, 0);
  return { events: Number(events), seconds: Number(seconds), waitedNs: Number(waitedNs), lost };
}

const percent = (part: number, whole: number): number => (100 * part) / whole;

async function sustained(directory: string, report: Report): Promise<void> {
  const program = buildRecordProgram(directory, 'ring-producer');
  const minute = await produce(directory, program, RATE, RATE * MINUTE, 'block');
  const waited = percent(minute.waitedNs, minute.seconds * 1e9);
  report({
    name: 'record.minute_mev_s',
    value: minute.events / minute.seconds / 1e6,
    unit: 'M events/s',
    goal: '>= 1.99',
  });
  report({ name: 'record.minute_waited_percent', value: waited, unit: '% of a minute', goal: '<= 0.5' });
  report({ name: 'record.minute_lost_events', value: minute.lost, unit: 'events', goal: '<= 0' });
  const blocked = await produce(directory, program, 0, SATURATED_EVENTS, 'block');
  report({
    name: 'record.saturated_mev_s',
    value: blocked.events / blocked.seconds / 1e6,
    unit: 'M events/s',
    goal: '',
  });
  report({
    name: 'record.saturated_waited_percent',
    value: percent(blocked.waitedNs, blocked.seconds * 1e9),
    unit: '% of the time',
    goal: '',
  });
  report({ name: 'record.saturated_lost_events', value: blocked.lost, unit: 'events', goal: '<= 0' });
  const dropped = await produce(directory, program, 0, SATURATED_EVENTS, 'drop');
  report({
    name: 'record.saturated_drop_lost_percent',
    value: percent(dropped.lost, dropped.events + dropped.lost),
    unit: '% of the events',
    goal: '',
  });
}

export const area: Area = {
  name: 'record',
  async run(report) {
    const directory = await mkdtemp(join(tmpdir(), 'vfiotape-bench-'));
    try {
      await hookCosts(directory, report);
      await sustained(directory, report);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};
