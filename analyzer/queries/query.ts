// SPDX-License-Identifier: Apache-2.0
/** SQL on DuckDB, which is an optional package: the rest of vfiotape does without. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import type { Answer } from './answer.js';
import { viewDefinitions } from './views.js';

export const DUCKDB_PACKAGE = '@duckdb/node-api';

/** `load`: for tests. */
export async function runQuery(
  directory: string,
  sql: string,
  load: () => Promise<typeof import('@duckdb/node-api')> = () => import('@duckdb/node-api'),
): Promise<Answer> {
  if (sql.trim() === '') throw new UserError('query: there is no statement in it');
  const { DuckDBInstance } = await loaded(load);
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    const findings = existsSync(join(directory, 'findings'));
    for (const view of viewDefinitions(resolve(directory), findings)) await connection.run(view);
    try {
      const statements = await connection.extractStatements(sql);
      for (let n = 0; n < statements.count - 1; n++) await (await statements.prepare(n)).run();
      // Several statements are answered by the last: what comes before it prepares it.
      const last = await statements.prepare(statements.count - 1);
      const reader = await last.runAndReadAll();
      return { columns: reader.columnNames(), rows: reader.getRowsJson() };
    } catch (error) {
      const [line] = String((error as Error).message)
        .replace('Failed to extract statements: ', '')
        .split('\n');
      throw new UserError(`query: ${line}; docs/queries.md has the views and their columns`);
    }
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function loaded<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const missing =
      code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND' || code === 'ERR_DLOPEN_FAILED';
    if (!missing) throw error;
    throw new UserError(`query: needs DuckDB, which is not installed here; npm install ${DUCKDB_PACKAGE}`);
  }
}
