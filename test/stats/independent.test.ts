// SPDX-License-Identifier: Apache-2.0
/** The statistics against another computation: SQL over the exported table. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
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

for (const name of [
  'qemu/io',
  'qemu/nested-kvm',
  'dpdk/e1000e',
  'dpdk/virtio-net',
  'edu/group',
  'edu/cdev',
]) {
  test(`statistics are what SQL computes: ${name}`, { skip: missing }, async () => {
    const source = join(packageRoot(), 'traces/corpus', `${name}.vtape`);
    const { compared, differences } = await differencesFromSql(source, join(directory, name));
    assert.deepEqual(differences, []);
    assert.ok(compared > 20);
  });
}

test('statistics are what SQL computes: 300,000 generated events', { skip: missing }, async () => {
  const source = join(directory, 'generated.vtape');
  await writeGenerated(source, 300_000, 'deflate');
  const { compared, differences } = await differencesFromSql(source, join(directory, 'generated'));
  assert.deepEqual(differences, []);
  assert.ok(compared > 100);
});
