// SPDX-License-Identifier: Apache-2.0
/** For the tests of rules. */
import type { RecordedSession } from '../../session/fixtures.js';
import { type CheckOptions, check } from './check.js';
import type { Finding, RuleVerdict } from './finding.js';
import type { Rule } from './rule.js';

/** What one rule says of a session. */
export async function verdictOf(
  rule: Rule,
  session: RecordedSession,
  options: CheckOptions = {},
): Promise<RuleVerdict> {
  const trace = await session.trace();
  try {
    const [verdict] = check(trace, { ...options, rules: [rule] }).verdicts;
    if (verdict === undefined) throw new Error(`${rule.id} gave no verdict`);
    return verdict;
  } finally {
    trace.close();
  }
}

/** `error bus mastering x2 @17,12`: severity, key, count, events. */
export function findingText({ severity, key, count, evidence }: Finding): string {
  const times = count === 1 ? '' : ` x${count}`;
  return `${severity} ${key}${times} @${evidence.map(({ event }) => event).join(',')}`;
}

/** Status and findings, for a comparison in one line. */
export async function judge(
  rule: Rule,
  session: RecordedSession,
  options: CheckOptions = {},
): Promise<readonly string[]> {
  const { status, findings } = await verdictOf(rule, session, options);
  return [status, ...findings.map(findingText)];
}
