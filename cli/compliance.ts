// SPDX-License-Identifier: Apache-2.0
/** What `check` and `report` have in common: which traces are held against the rules, and what is forgiven. */
import { readFileSync } from 'node:fs';
import { packageVersion } from '../abi/package-root.js';
import { UserError } from '../abi/user-error.js';
import { check } from '../analyzer/check/check.js';
import { PROFILES, SEVERITIES, type Severity } from '../analyzer/check/rule.js';
import { parseBaseline } from '../analyzer/reports/baseline.js';
import { conclude, reportTrace } from '../analyzer/reports/build.js';
import type { ComplianceReport, TraceReport } from '../analyzer/reports/model.js';
import { parseWaivers } from '../analyzer/reports/waivers.js';
import { takeOverview } from '../session/overview/overview.js';
import type { Trace } from '../traces/reader.js';
import { reportDamages, withWholeTrace } from './input.js';
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
  symbols: SYMBOLS_OPTION,
} as const;

export interface ComplianceArguments {
  readonly profile: (typeof PROFILES)[number] | undefined;
  readonly waivers: string | undefined;
  readonly baseline: string | undefined;
  readonly 'fail-on': Severity | 'never';
  readonly symbols: string[] | undefined;
}

/** `look`: at each trace while it is open, when its report is there. */
export async function judge(
  traces: readonly string[],
  { profile, waivers, baseline, symbols, 'fail-on': failOn }: ComplianceArguments,
  look: (trace: Trace) => void = () => undefined,
): Promise<ComplianceReport> {
  const today = new Date().toISOString().slice(0, 10);
  const forgiven =
    waivers === undefined ? undefined : parseWaivers(readText(waivers, '--waivers'), waivers, today);
  const before =
    baseline === undefined ? undefined : parseBaseline(readText(baseline, '--baseline'), baseline);
  const reports: TraceReport[] = [];
  for (const path of traces) {
    await withWholeTrace(path, async (trace) => {
      const result = check(trace, profile === undefined ? {} : { profile });
      const overview = takeOverview(trace, (loss) => describeLosses([loss]));
      await withCallSites(trace, symbols, async (callSites) => {
        reports.push(
          reportTrace(trace, overview, result, { waivers: forgiven, baseline: before }, callSites),
        );
      });
      look(trace);
      reportDamages(trace);
    });
  }
  return conclude(reports, failOn, `vfiotape ${packageVersion()}`, forgiven?.remarks() ?? []);
}

function readText(path: string, option: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`${option} ${path} can't be read: ${(error as Error).message}`);
  }
}
