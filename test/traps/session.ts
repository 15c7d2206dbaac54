// SPDX-License-Identifier: Apache-2.0
/** For the tests of traps: sessions of drivers that do something unusual, and rightly. */
import assert from 'node:assert/strict';
import { type CheckOptions, check } from '../../analyzer/check/check.js';
import { judge } from '../../analyzer/check/fixtures.js';
import { findRule } from '../../analyzer/rules/rules.js';
import { type Opened, RecordedSession } from '../../session/fixtures.js';

export interface Drive {
  readonly s: RecordedSession;
  readonly container: Opened;
  readonly group: Opened;
  readonly device: Opened;
}

export function nvme(definition: Parameters<RecordedSession['openNvme']>[0] = {}): Drive {
  const s = new RecordedSession();
  return { s, ...s.openNvme(definition) };
}

/** Status of one rule, and its findings without their events: `warning bus mastering`. */
export async function says(id: string, s: RecordedSession, options: CheckOptions = {}): Promise<string[]> {
  const rule = findRule(id);
  assert.ok(rule !== undefined, id);
  return (await judge(rule, s, options)).map((text) => text.replace(/ @[\d,]+$/, ''));
}

/** `note CLN-001`: what all rules say, once each, in order. */
export async function findingsOf(s: RecordedSession, options: CheckOptions = {}): Promise<string[]> {
  const trace = await s.trace();
  try {
    const found = check(trace, options).verdicts.flatMap(({ rule, findings }) =>
      findings.map(({ severity }) => `${severity} ${rule.id}`),
    );
    return [...new Set(found)].sort();
  } finally {
    trace.close();
  }
}

export async function statusesOf(s: RecordedSession): Promise<ReadonlyMap<string, string>> {
  const trace = await s.trace();
  try {
    return new Map(check(trace).verdicts.map(({ rule, status }) => [rule.id, status]));
  } finally {
    trace.close();
  }
}
