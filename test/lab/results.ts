// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { diffTraces } from '../../analyzer/diff/diff.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import type { CallName } from './compare/calls.js';
import { type Comparison, compareCalls, describeDifference } from './compare/compare.js';
import { recordedCalls, unseenDescriptors } from './compare/recorded-calls.js';
import { parseStraceLog } from './compare/strace-log.js';
import type { Driver } from './drivers.js';
import { parseResources, windowOf } from './ground-truth/device-log.js';
import { type GroundTruth, groundTruth } from './ground-truth/ground-truth.js';
import { fileName, type Run } from './guest-script.js';
import { playedChecks } from './played.js';
import { firstDifference } from './same-output.js';

/** One thing that was checked about a driver. */
export interface Check {
  readonly name: string;
  /** Empty: it holds. Otherwise what is wrong, for a person, several lines. */
  readonly trouble: string;
}

export interface DriverResult {
  readonly driver: Driver;
  /** What the guest left. */
  readonly directory: string;
  readonly checks: readonly Check[];
  /** Undefined when there was nothing to compare. */
  readonly comparison: Comparison | undefined;
  readonly ownCalls: ReadonlyMap<string, number>;
  /** The accesses of the recorded run against QEMU's own log of them; undefined when there was nothing to compare. */
  readonly truth: GroundTruth | undefined;
  /** First line of what the driver says its version is. */
  readonly version: string;
}

interface Outcome {
  readonly status: number | undefined;
  readonly out: string;
  readonly err: string;
  /** What its threads were doing when its time was over; empty when it ended by itself. */
  readonly hung: string;
}

function outcome(directory: string, driver: Driver, run: Run | 'replayed' | 'version'): Outcome {
  const read = (extension: string): string => {
    const file = join(directory, `${fileName(driver, run)}.${extension}`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  };
  const status = read('status').trim();
  return {
    status: status === '' ? undefined : Number(status),
    out: read('out'),
    err: read('err'),
    hung: read('hung'),
  };
}

/** QEMU's log of a guest, and which of its marked runs is meant. */
export interface DeviceLog {
  readonly log: string;
  readonly run: number;
}

/** Looks at what a guest left of one driver's three runs. */
export function examine(directory: string, driver: Driver, deviceLog: DeviceLog): DriverResult {
  const plain = outcome(directory, driver, 'plain');
  const version = outcome(directory, driver, 'version').out.trim().split('\n')[0] ?? '';
  const checks: Check[] = [];
  const check = (name: string, trouble: string): void => void checks.push({ name, trouble });

  check('does its work by itself', workTrouble(driver, plain));
  for (const run of ['recorded', 'observed'] as const) {
    const told = run === 'recorded' ? 'recorded' : 'recorded under strace';
    check(`ends and prints the same ${told}`, sameTrouble(driver, plain, outcome(directory, driver, run)));
    check(`leaves a complete trace ${told}`, traceTrouble(join(directory, `${fileName(driver, run)}.vtape`)));
  }
  const compared = compareRun(directory, driver);
  check('has the same calls in the trace as under strace', compared.trouble);
  const truth = accessTruth(directory, driver, deviceLog);
  check(
    "has the same accesses to its BARs in the trace as in QEMU's",
    typeof truth === 'string' ? truth : truth.trouble,
  );
  if (driver.replay !== undefined) {
    const replayed = outcome(directory, driver, 'replayed');
    check('is replayed on the real kernel without a divergence', replayTrouble(replayed));
    check(
      'is what its replay, recorded, did',
      fixedPointTrouble(directory, driver, driver.replay.length > 0),
    );
  }
  for (const { name, trouble } of playedChecks(driver, directory, plain.out)) check(name, trouble);
  return {
    driver,
    directory,
    checks,
    comparison: compared.comparison,
    ownCalls: compared.own,
    truth: typeof truth === 'string' ? undefined : truth,
    version,
  };
}

function workTrouble(driver: Driver, ran: Outcome): string {
  const { status, out } = ran;
  const problems: string[] = [];
  if (status !== driver.status) problems.push(`exit status ${status ?? 'none'}, not ${driver.status}`);
  for (const pattern of driver.expect) {
    if (!pattern.test(out)) problems.push(`its output has no ${pattern}`);
  }
  return problems.length === 0 ? '' : `${problems.join('; ')}\n${whatItDid(ran)}`;
}

function sameTrouble(driver: Driver, plain: Outcome, recorded: Outcome): string {
  if (plain.status !== recorded.status) {
    return `exit status ${recorded.status ?? 'none'}, without the recorder ${plain.status ?? 'none'}\n${whatItDid(recorded)}`;
  }
  const difference =
    firstDifference(driver, plain.out, recorded.out) ??
    firstDifference(driver, plain.err, withoutOurs(recorded.err));
  return difference ?? '';
}

/** What the recorder itself says on the driver's standard error. */
function withoutOurs(text: string): string {
  return text.replace(/^vfiotape: .*\n/gm, '');
}

function withTrace<T>(file: string, use: (trace: Trace) => T): T | string {
  if (!existsSync(file)) return 'there is no trace';
  try {
    const trace = openTrace(file);
    try {
      return use(trace);
    } finally {
      trace.close();
    }
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

function traceTrouble(file: string): string {
  return withTrace(file, (trace) => {
    const problems: string[] = [];
    let events = 0;
    for (const batch of trace.batches()) events += batch.end - batch.begin;
    if (trace.summary?.complete !== true) problems.push('it was not sealed');
    for (const { cause, events: lost, detail } of trace.summary?.losses ?? [])
      problems.push(`lost ${lost}: ${cause} ${detail}`);
    for (const damage of trace.damages) problems.push(`damaged: ${JSON.stringify(damage)}`);
    if (events === 0) problems.push('it has no event');
    return problems.join('\n');
  });
}

function accessTruth(directory: string, driver: Driver, { log, run }: DeviceLog): GroundTruth | string {
  const resources = join(directory, 'resources');
  if (!existsSync(resources)) return 'the guest did not say where its BARs are';
  const window = windowOf(log, parseResources(readFileSync(resources, 'utf8')), run);
  if (window === undefined) return "the run's marks are not in QEMU's log";
  return withTrace(join(directory, `${fileName(driver, 'recorded')}.vtape`), (trace) =>
    groundTruth(window, trace),
  );
}

function compareRun(
  directory: string,
  driver: Driver,
): {
  readonly trouble: string;
  readonly comparison: Comparison | undefined;
  readonly own: ReadonlyMap<string, number>;
} {
  const name = fileName(driver, 'observed');
  const log = join(directory, `${name}.strace`);
  const none = { comparison: undefined, own: new Map<string, number>() };
  if (!existsSync(log)) return { trouble: 'strace left no log', ...none };
  const strace = parseStraceLog(readFileSync(log, 'utf8'));
  const recorded = withTrace(join(directory, `${name}.vtape`), (trace) => ({
    calls: recordedCalls(trace),
    unseen: unseenDescriptors(trace),
  }));
  if (typeof recorded === 'string') return { trouble: recorded, ...none };
  const comparison = compareCalls(strace.calls, recorded.calls, recorded.unseen);
  const problems = [
    ...strace.unknown.slice(0, 5).map((line) => `not understood in the log of strace: ${line}`),
    ...strace.unpublished
      .slice(0, 5)
      .map((line) => `a call of the shim's own that is not in the list: ${line}`),
    ...comparison.differences.slice(0, 10).map(describeDifference),
  ];
  if (comparison.total === 0) problems.push('strace saw no call at all');
  if (comparison.differences.length > 10) problems.push(`and ${comparison.differences.length - 10} more`);
  return { trouble: problems.join('\n'), comparison, own: strace.own };
}

function replayTrouble(replayed: Outcome): string {
  const text = replayed.out.slice(replayed.out.indexOf('{'));
  try {
    const report = JSON.parse(text) as {
      readonly operations: number;
      readonly divergences: readonly object[];
    };
    if (replayed.status === 0 && report.operations > 0) return '';
    return (
      report.divergences.map((divergence) => JSON.stringify(divergence)).join('\n') || whatItDid(replayed)
    );
  } catch {
    return whatItDid(replayed);
  }
}

/** How a replay ends whose session does not: the device is reset, or stops mastering the bus. */
const OWN_ENDING = /VFIO_DEVICE_RESET|Command/;

function fixedPointTrouble(directory: string, driver: Driver, cut: boolean): string {
  const file = (run: 'recorded' | 'replayed') => join(directory, `${fileName(driver, run)}.vtape`);
  const result = withTrace(file('recorded'), (first) =>
    withTrace(file('replayed'), (second) => diffTraces(first, second)),
  );
  if (typeof result === 'string') return result;
  const differences = result.differences.filter(
    ({ kind, what }) => !(cut && (kind === 'removed' || OWN_ENDING.test(what))),
  );
  if (result.same < 20) return `only ${result.same} calls and accesses are the same`;
  return differences.map((difference) => JSON.stringify(difference)).join('\n');
}

function whatItDid({ out, err, hung }: Outcome): string {
  const tail = (text: string): string => text.trimEnd().split('\n').slice(-15).join('\n');
  const printed = `standard output ends with:\n${tail(out)}\nstandard error with:\n${tail(err)}`;
  return hung === '' ? printed : `${hung.trimEnd().split('\n').slice(0, 150).join('\n')}\n${printed}`;
}

/** The table of docs/lab-results.md. */
export function resultsTable(results: readonly DriverResult[]): string {
  const names: readonly CallName[] = ['open', 'ioctl', 'read', 'write', 'mmap', 'eventfd', 'dup', 'close'];
  const rows = results.map(({ driver, comparison, version }) => {
    const cells = names.map((name) => String(comparison?.seen.get(name) ?? 0));
    return `| ${[driver.name, version, ...cells, comparison?.total ?? 0, comparison?.matched ?? 0, comparison?.unseen ?? 0, comparison?.differences.length ?? '–'].join(' | ')} |`;
  });
  return [
    `| driver | version | ${names.join(' | ')} | calls | matched | unseen | differences |`,
    `|---|---|${names.map(() => '---:').join('|')}|---:|---:|---:|---:|`,
    ...rows,
  ].join('\n');
}
