// SPDX-License-Identifier: Apache-2.0
/** The queries of docs/queries.md, on the corpus. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { UserError } from '../../abi/user-error.js';
import { partition } from '../../analyzer/exports/data-set.js';
import { exportTrace } from '../../analyzer/exports/export-trace.js';
import { asCsv, asJsonLines, asTable } from '../../analyzer/queries/answer.js';
import { DUCKDB_PACKAGE, runQuery } from '../../analyzer/queries/query.js';

const SESSIONS = ['qemu/io', 'qemu/img-bench', 'dpdk/e1000e', 'dpdk/virtio-net', 'edu/group'];
const directory = mkdtempSync(join(tmpdir(), 'vfiotape-queries-'));
after(() => rmSync(directory, { recursive: true }));

const missing = await import(DUCKDB_PACKAGE).then(
  () => false,
  () => `${DUCKDB_PACKAGE} is not installed`,
);

before(async () => {
  for (const session of SESSIONS) {
    const { events, findings } = partition(directory, session.replace('/', '-'));
    const source = join(packageRoot(), 'traces/corpus', `${session}.vtape`);
    await exportTrace({ source, format: 'parquet', path: events, findingsPath: findings });
  }
});

const page = readFileSync(join(packageRoot(), 'docs/queries.md'), 'utf8');
const documented = [...page.matchAll(/\n([^\n]+\?)\n\n```sql\n([\s\S]*?)```/g)];
const GOLDEN = join(packageRoot(), 'test/queries/answers.txt');

test('ten queries are documented', () => assert.equal(documented.length, 10));

test('they answer as they did', { skip: missing }, async () => {
  let text = '';
  for (const [, question = '', sql = ''] of documented) {
    const answer = await runQuery(directory, sql);
    assert.ok(answer.rows.length > 0, question);
    // What the rules find is theirs to change.
    if (!sql.includes('findings')) text += `${question}\n\n${asTable(answer)}\n`;
  }
  if (process.env['VFIOTAPE_UPDATE'] === '1') writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, 'utf8'));
});

test('answers keep 64 bits in each form', { skip: missing }, async () => {
  const answer = await runQuery(
    directory,
    `SELECT 18446744073709551615::UBIGINT AS a, 'x,"y' AS b, NULL AS c`,
  );
  assert.equal(asCsv(answer), 'a,b,c\r\n18446744073709551615,"x,""y",\r\n');
  assert.equal(asJsonLines(answer), '{"a":"18446744073709551615","b":"x,\\"y","c":null}\n');
});

test('a mistake in SQL is one line', { skip: missing }, async () => {
  await assert.rejects(runQuery(directory, 'SELEC 1'), (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /^query: Parser Error: [^\n]+docs\/queries\.md[^\n]*$/);
    return true;
  });
});

test('without DuckDB the answer is how to install it', async () => {
  const absent = (): Promise<never> => {
    const error: NodeJS.ErrnoException = new Error('Cannot find package');
    error.code = 'ERR_MODULE_NOT_FOUND';
    return Promise.reject(error);
  };
  await assert.rejects(runQuery(directory, 'SELECT 1', absent), {
    message: 'query: needs DuckDB, which is not installed here; npm install @duckdb/node-api',
  });
});

test('several statements are answered by the last, none is refused', { skip: missing }, async () => {
  const answer = await runQuery(directory, 'SET threads = 1; SELECT 1 AS one; SELECT 2 AS two');
  assert.deepEqual(answer, { columns: ['two'], rows: [[2]] });
  await assert.rejects(runQuery(directory, ' \n'), { message: 'query: there is no statement in it' });
});
