// SPDX-License-Identifier: Apache-2.0
// No rule is forgotten, none is there twice, each is a file of its own, and each has sessions that break it and that keep it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { PROFILES, SEVERITIES } from '../check/rule.js';
import { findRule, RULES } from './rules.js';

/** How many rules each family has: they are numbered from 1 without a gap. */
const FAMILIES: Readonly<Record<string, number>> = {
  MSI: 8,
  IRQ: 11,
  INTX: 6,
  ERR: 1,
  REQ: 2,
  RST: 8,
  LIF: 9,
  CFG: 11,
  DMA: 20,
  BAR: 12,
  CLN: 8,
  PERF: 13,
};

const number = (n: number): string => String(n).padStart(3, '0');
const EXPECTED = Object.entries(FAMILIES).flatMap(([family, count]) =>
  Array.from({ length: count }, (_, i) => `${family}-${number(i + 1)}`),
);

const directory = join(packageRoot(), 'analyzer/rules');
const files = readdirSync(directory, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.ts'));
const tests = files
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(directory, name), 'utf8'))
  .join('\n');

test('every rule of the catalogue is there, once', () => {
  assert.deepEqual(
    EXPECTED.filter((id) => findRule(id) === undefined),
    [],
  );
  const ids = RULES.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test('each family is numbered without a gap', () => {
  const families = new Map<string, string[]>();
  for (const { id } of RULES) {
    const family = id.replace(/-\d+$/, '');
    families.set(family, [...(families.get(family) ?? []), id]);
  }
  for (const [family, ids] of families)
    assert.deepEqual(
      [...ids].sort(),
      ids.map((_, i) => `${family}-${number(i + 1)}`),
    );
});

for (const rule of RULES) {
  const { id } = rule;
  test(`${id}: a file of its own, and something to read`, () => {
    const own = files.filter((name) => basename(name).startsWith(`${id.toLowerCase()}-`));
    assert.equal(own.length, 1, `files: ${own.join(', ')}`);
    assert.match(rule.title, /^\S.{10,110}[^.]$/);
    assert.ok(SEVERITIES.includes(rule.severity));
    for (const profile of Object.keys(rule.profiles ?? {}))
      assert.ok((PROFILES as readonly string[]).includes(profile));
    assert.ok(rule.sources.length > 0);
    const texts =
      typeof rule.watch === 'string' ? [rule.watch] : [rule.decided, rule.wrongWhen, rule.compliant];
    for (const text of [rule.why, ...texts]) assert.match(text, /\S.{3}/);
  });
}

for (const id of EXPECTED) {
  const rule = findRule(id);
  if (rule === undefined || typeof rule.watch === 'string') continue;
  test(`${id}: tested by a session that breaks it and one that keeps it`, () => {
    const own = tests
      .split(/\ntest\(/)
      .filter((text) => text.startsWith(`'${id}:`) || text.startsWith(`\`${id}:`));
    assert.ok(own.length >= 2, `${own.length} tests`);
    assert.ok(
      own.some((text) => /['"`](fail|note)['"`]/.test(text)),
      'none breaks it',
    );
    assert.ok(
      own.some((text) => /['"`](pass|not applicable|unknown)['"`]/.test(text)),
      'none keeps it',
    );
  });
}
