// SPDX-License-Identifier: Apache-2.0
/** docs/traps.md names tests that are there, and rules; and every test of traps is in it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { findRule } from '../../analyzer/rules/rules.js';

interface Row {
  readonly rules: readonly string[];
  readonly title: string;
}

const rows: readonly Row[] = readFileSync(join(packageRoot(), 'docs/traps.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| .* \| `.*` \|$/.test(line))
  .map((line) => {
    const [, rules = '', title = ''] = /^\| .* \| ([^|]*) \| `(.*)` \|$/.exec(line) ?? [];
    return { rules: rules.split(', '), title };
  });

/** Titles of the tests below a directory. */
function titlesIn(...places: readonly string[]): ReadonlySet<string> {
  const titles = new Set<string>();
  for (const place of places) {
    const directory = join(packageRoot(), place);
    for (const name of readdirSync(directory, { recursive: true }).map(String)) {
      if (!name.endsWith('.test.ts')) continue;
      const text = readFileSync(join(directory, name), 'utf8');
      for (const [, title = ''] of text.matchAll(/^test\(\s*'(.*)',/gm)) titles.add(title);
    }
  }
  return titles;
}

test('each trap is held by a test that is there, of a rule that is there', () => {
  assert.ok(rows.length > 0);
  const titles = titlesIn('analyzer', 'test/traps');
  assert.deepEqual(
    rows.filter(({ title }) => !titles.has(title)),
    [],
  );
  assert.deepEqual(
    rows.flatMap(({ rules }) => rules).filter((id) => id !== 'all' && findRule(id) === undefined),
    [],
  );
});

test('each test of a trap is in the table', () => {
  const own = [...titlesIn('test/traps')].filter((title) => !title.startsWith('each '));
  const named = new Set(rows.map(({ title }) => title));
  assert.deepEqual(
    own.filter((title) => !named.has(title)),
    [],
  );
});
