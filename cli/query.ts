// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../abi/user-error.js';
import { partition, sessionNames } from '../analyzer/exports/data-set.js';
import { asCsv, asJsonLines, asTable } from '../analyzer/queries/answer.js';
import { runQuery } from '../analyzer/queries/query.js';
import { ExitStatus } from './exit-status.js';
import { runTasks } from './export.js';
import { print } from './output.js';
import { defineVerb } from './verb.js';

const FORMATS = { table: asTable, csv: asCsv, jsonl: asJsonLines } as const;

export const verb = defineVerb({
  usage: 'query [--format FORMAT] TRACE…|DIR SQL',
  summary:
    'Answers SQL over traces, with DuckDB. DIR is a data set that export --to parquet has made, or holds traces. Views: events, mmio, ioctls, interrupts, dma_maps, findings (docs/queries.md).',
  operands: { least: 2, most: Number.MAX_SAFE_INTEGER },
  options: {
    format: {
      choices: Object.keys(FORMATS) as readonly (keyof typeof FORMATS)[],
      default: 'table' as const,
      describe: 'of the answer',
    },
    json: { type: 'boolean', describe: 'the same as --format jsonl' },
  },
  examples: [
    [`vfiotape query t.vtape "SELECT operation, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC"`, ''],
    [
      `vfiotape query runs/ "SELECT session, count(*) FROM findings GROUP BY 1"`,
      'over all traces of a directory',
    ],
  ],
  async run({ operands, format, json }) {
    const sql = operands.at(-1) as string;
    const sources = operands.slice(0, -1);
    const answer = await withDataSet(sources, /\bfindings\b/i.test(sql), (directory) =>
      runQuery(directory, sql),
    );
    await print(FORMATS[json === true ? 'jsonl' : format](answer));
    return ExitStatus.OK;
  },
});

/** Runs `work` on a data set: the one that is named, or one made of the traces for as long as it takes. */
async function withDataSet<T>(
  sources: readonly string[],
  findings: boolean,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const [only] = sources;
  if (sources.length === 1 && only !== undefined && isDirectory(only) && isDirectory(join(only, 'events')))
    return work(only);
  const paths = sources.flatMap(tracesIn);
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-query-'));
  try {
    await runTasks(
      sessionNames(paths).map((session, n) => {
        const { events, findings: findingsPath } = partition(directory, session);
        const task = { source: paths[n] as string, format: 'parquet' as const, path: events };
        return findings ? { ...task, findingsPath } : task;
      }),
    );
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function tracesIn(path: string): readonly string[] {
  if (path === '-')
    throw new UserError('query: a trace is read more than once; save standard input to a file first');
  if (!isDirectory(path)) return [path];
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.vtape'))
    .sort()
    .map((name) => join(path, name));
  if (found.length === 0)
    throw new UserError(`query: ${path} holds no .vtape file, and no data set of export --to parquet`);
  return found;
}
