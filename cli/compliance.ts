// SPDX-License-Identifier: Apache-2.0
/** What `check` and `report` have in common: which traces are held against the rules, and what is forgiven. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { packageVersion } from '../abi/package-root.js';
import { UserError } from '../abi/user-error.js';
import { check } from '../analyzer/check/check.js';
import { PROFILES, SEVERITIES, type Severity } from '../analyzer/check/rule.js';
import { type Budget, parseBudget } from '../analyzer/performance/budget/budget.js';
import { judgeBudget } from '../analyzer/performance/budget/judge.js';
import type { Statistics } from '../analyzer/performance/model.js';
import { statistics } from '../analyzer/performance/statistics.js';
import { parseBaseline } from '../analyzer/reports/baseline.js';
import { conclude, reportTrace } from '../analyzer/reports/build.js';
import type { ComplianceReport, TraceReport } from '../analyzer/reports/model.js';
import { parseWaivers, type Waivers } from '../analyzer/reports/waivers.js';
import { onAllCores } from '../analyzer/workers.js';
import { takeOverview } from '../session/overview/overview.js';
import type { Story } from '../session/story/story.js';
import type { StoryWatch } from '../session/story/watch.js';
import type { Trace } from '../traces/reader.js';
import { reportDamages, withTrace, withWholeTrace } from './input.js';
import { describeLosses } from './losses.js';
import { SYMBOLS_OPTION, withCallSites } from './symbols.js';

export const COMPLIANCE_OPTIONS = {
  profile: {
    choices: PROFILES,
    describe: 'who the driver is; found out unless given (a monitor opens KVM, a test is known by its name)',
  },
  waivers: { type: 'string', describe: 'a file of findings that somebody answers for (docs/check.md)' },
  baseline: {
    type: 'string',
    describe: 'an earlier check --json: what it found is known, only new findings count',
  },
  'fail-on': {
    choices: [...SEVERITIES, 'never'] as const,
    default: 'error' as const,
    describe: 'the mildest finding that fails',
  },
  budget: { type: 'string', describe: 'a file of limits on what stats measures (docs/budget.md)' },
  symbols: SYMBOLS_OPTION,
} as const;

/** What is asked of one trace: plain data, for another thread. */
export interface ComplianceTask extends Omit<ComplianceArguments, 'fail-on'> {
  readonly path: string;
}

export interface ComplianceArguments {
  readonly profile: (typeof PROFILES)[number] | undefined;
  readonly waivers: string | undefined;
  readonly baseline: string | undefined;
  readonly 'fail-on': Severity | 'never';
  readonly budget: string | undefined;
  readonly symbols: string[] | undefined;
}

/** Who shows more of a trace than its report. */
export interface Look {
  /** In the pass of the rules. */
  readonly alongside: (story: Story) => readonly StoryWatch[];
  /** While the trace is open, when its report is there. */
  readonly afterwards: (trace: Trace) => void;
}

/** One trace's report, in this thread or another. */
export async function reportOn({ path, ...asked }: ComplianceTask, look?: Look): Promise<TraceReport> {
  const { profile, symbols } = asked;
  const { waivers, baseline, limits } = await readForgiven(asked);
  return withWholeTrace(path, async (trace) => {
    const judged = check(trace, {
      ...(profile !== undefined && { profile }),
      ...(look !== undefined && { alongside: look.alongside }),
    });
    const verdicts =
      limits === undefined
        ? judged.verdicts
        : [...judged.verdicts, judgeBudget(limits.budget, statistics(trace), limits.baseline)];
    const overview = takeOverview(trace, (loss) => describeLosses([loss]));
    const report = await withCallSites(trace, symbols, async (callSites) =>
      reportTrace(trace, overview, { ...judged, verdicts }, { waivers, baseline }, callSites),
    );
    look?.afterwards(trace);
    reportDamages(trace);
    return report;
  });
}

/** Several traces are judged on all cores; `look` is for one. */
export async function judge(
  traces: readonly string[],
  asked: ComplianceArguments,
  look?: Look,
): Promise<ComplianceReport> {
  if (traces.filter((path) => path === '-').length > 1)
    throw new UserError('standard input can be read once only; give - once');
  // What is wrong with these files is told before anything is judged.
  const { waivers } = await readForgiven(asked);
  const { profile, waivers: forgiven, baseline, budget, symbols } = asked;
  const tasks = traces.map((path) => ({ path, profile, waivers: forgiven, baseline, budget, symbols }));
  const reports =
    tasks.length > 1 && !traces.includes('-') && look === undefined
      ? await onOtherThreads(tasks)
      : await inTurn(tasks, look);
  for (const { findings } of reports) for (const finding of findings) waivers?.reasonFor(finding);
  return conclude(reports, asked['fail-on'], `vfiotape ${packageVersion()}`, waivers?.remarks() ?? []);
}

async function inTurn(
  tasks: readonly ComplianceTask[],
  look: Look | undefined,
): Promise<readonly TraceReport[]> {
  const reports: TraceReport[] = [];
  for (const task of tasks) reports.push(await reportOn(task, look));
  return reports;
}

async function onOtherThreads(tasks: readonly ComplianceTask[]): Promise<readonly TraceReport[]> {
  try {
    return await onAllCores<ComplianceTask, TraceReport>(
      new URL('./compliance-worker.js', import.meta.url),
      tasks,
    );
  } catch (error) {
    const { name, message } = error as Error;
    if (name === 'UserError' || name === 'TraceError') throw new UserError(message);
    throw error;
  }
}

interface Forgiven {
  readonly waivers: Waivers | undefined;
  readonly baseline: ReadonlySet<string> | undefined;
  readonly limits: { readonly budget: Budget; readonly baseline: Statistics | undefined } | undefined;
}

async function readForgiven({
  waivers,
  baseline,
  budget,
}: Pick<ComplianceArguments, 'waivers' | 'baseline' | 'budget'>): Promise<Forgiven> {
  const today = new Date().toISOString().slice(0, 10);
  return {
    waivers: waivers === undefined ? undefined : parseWaivers(readText(waivers, '--waivers'), waivers, today),
    baseline: baseline === undefined ? undefined : parseBaseline(readText(baseline, '--baseline'), baseline),
    limits: budget === undefined ? undefined : await readBudget(budget),
  };
}

async function readBudget(
  path: string,
): Promise<{ readonly budget: Budget; readonly baseline: Statistics | undefined }> {
  const budget = parseBudget(readText(path, '--budget'), path);
  if (budget.baseline === undefined) return { budget, baseline: undefined };
  const baseline = resolve(dirname(path), budget.baseline);
  return { budget, baseline: await withTrace(baseline, (trace) => statistics(trace)) };
}

/** What is written must not take the place of what it was made from. */
export function refuseOverwriting(output: string | undefined, inputs: readonly (string | undefined)[]): void {
  const target = output === undefined ? undefined : statSync(output, { throwIfNoEntry: false });
  if (target === undefined) return;
  for (const input of inputs) {
    const held =
      input === undefined || input === '-' ? undefined : statSync(input, { throwIfNoEntry: false });
    if (held?.isFile() === true && held.ino === target.ino && held.dev === target.dev)
      throw new UserError(`-o ${output} would overwrite ${input}; give another file`);
  }
}

function readText(path: string, option: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`${option} ${path} can't be read: ${(error as Error).message}`);
  }
}
