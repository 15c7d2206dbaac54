// SPDX-License-Identifier: Apache-2.0
/** Each thing that can be done wrong to a clean session is found by the rule that is meant for it, and by no unrelated one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../../analyzer/check/check.js';
import { RULES } from '../../analyzer/rules/rules.js';
import { CLEAN, record, type Step } from './clean-session.js';
import { NVME_MUTANTS } from './mutants/nvme.js';
import { OTHER_MUTANTS } from './mutants/others.js';
import { PERFORMANCE_MUTANTS } from './mutants/performance.js';
import { SET_UP_MUTANTS } from './mutants/set-up.js';
import { OTHER_SESSIONS } from './other-sessions.js';

/** Rules that no mistake in a session can bring out, and why. */
const UNREACHED: Readonly<Record<string, string>> = {};

const MUTANTS = [...NVME_MUTANTS, ...SET_UP_MUTANTS, ...OTHER_MUTANTS, ...PERFORMANCE_MUTANTS];

async function rulesThatFind(steps: readonly Step[]): Promise<readonly string[]> {
  const trace = await record(steps).trace();
  try {
    const { verdicts } = check(trace);
    return verdicts.filter(({ findings }) => findings.length > 0).map(({ rule }) => rule.id);
  } finally {
    trace.close();
  }
}

for (const [name, steps] of Object.entries({ CLEAN, ...OTHER_SESSIONS })) {
  test(`the session ${name} is clean`, async () => {
    assert.deepEqual(await rulesThatFind(steps), []);
  });
}

for (const { what, rule, also, steps } of MUTANTS) {
  test(`${rule}: ${what}`, async () => {
    const found = await rulesThatFind(steps);
    assert.ok(found.includes(rule), `found by ${found.join(', ') || 'none'}`);
    assert.deepEqual(
      found.filter((id) => id !== rule && !also.includes(id)),
      [],
    );
  });
}

test('every rule has a mutant, or a reason why it has none', () => {
  const reached = new Set(MUTANTS.map(({ rule }) => rule));
  const ids = RULES.map(({ id }) => id);
  assert.deepEqual(
    ids.filter((id) => !reached.has(id) && UNREACHED[id] === undefined),
    [],
  );
  assert.deepEqual(
    Object.keys(UNREACHED).filter((id) => reached.has(id) || !ids.includes(id)),
    [],
  );
});

test('a rule that has no mutant is one that is not decided', () => {
  for (const id of Object.keys(UNREACHED))
    assert.equal(typeof RULES.find((rule) => rule.id === id)?.watch, 'string');
});
