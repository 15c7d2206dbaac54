// SPDX-License-Identifier: Apache-2.0
/**
 * docs/rules/ says what the rules' files say: a page for each, and one that leads to them. VFIOTAPE_UPDATE=1 npm test --
 * analyzer/rules/docs writes them anew.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { catalogueMarkdown, ruleMarkdown } from './explain.js';
import { RULES } from './rules.js';

const directory = join(packageRoot(), 'docs/rules');
const pages = new Map([
  ['README.md', catalogueMarkdown(RULES)],
  ...RULES.map((rule) => [`${rule.id}.md`, ruleMarkdown(rule)] as const),
]);

test('docs/rules/ is what the rules say', () => {
  if (process.env['VFIOTAPE_UPDATE'] === '1') {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    for (const [name, text] of pages) writeFileSync(join(directory, name), text);
  }
  const how = 'VFIOTAPE_UPDATE=1 npm test -- analyzer/rules/docs writes it anew';
  assert.deepEqual(readdirSync(directory).sort(), [...pages.keys()].sort(), how);
  for (const [name, text] of pages) {
    const path = join(directory, name);
    assert.ok(existsSync(path), `docs/rules/${name} is missing: ${how}`);
    assert.equal(readFileSync(path, 'utf8'), text, `docs/rules/${name} is stale: ${how}`);
  }
});

test('a page has each of a rule’s parts, on lines that Markdown takes as they are meant', () => {
  for (const rule of RULES) {
    const page = pages.get(`${rule.id}.md`) ?? '';
    for (const heading of [
      'Why',
      'Sources',
      'The kernel',
      'How it is decided',
      'When it is wrong',
      'A compliant driver',
    ])
      assert.match(page, new RegExp(`^## ${heading}\n\n\\S`, 'm'), rule.id);
    // A < that is none of Markdown's would hide what follows.
    assert.doesNotMatch(page.replace(/`[^`]*`/g, ''), /<[a-z/!]/i, rule.id);
  }
});
