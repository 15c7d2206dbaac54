// SPDX-License-Identifier: Apache-2.0
/** The statistics against another computation: SQL over the exported table. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { DUCKDB_PACKAGE } from '../../analyzer/queries/query.js';
import { writeGenerated } from '../bench/generated-trace.js';
import { differencesFromSql } from './independent.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-independent-'));
after(() => rmSync(directory, { recursive: true }));
const missing = await import(DUCKDB_PACKAGE).then(
  () => false,
  () => `${DUCKDB_PACKAGE} is not installed`,
);

const CORPUS = join(packageRoot(), 'traces/corpus');
for (const name of readdirSync(CORPUS, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.vtape'),
)) {
  test(`statistics are what SQL computes: ${name}`, { skip: missing }, async () => {
    const source = join(CORPUS, name);
    const { compared, differences } = await differencesFromSql(source, join(directory, name));
    assert.deepEqual(differences, []);
    assert.ok(compared > 20);
  });
}

test('statistics are what SQL computes: 500,000 generated events', { skip: missing }, async () => {
  const source = join(directory, 'generated.vtape');
  await writeGenerated(source, 500_000, 'deflate');
  const { compared, differences } = await differencesFromSql(source, join(directory, 'generated'));
  assert.deepEqual(differences, []);
  assert.ok(compared > 100);
});
