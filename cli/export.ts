// SPDX-License-Identifier: Apache-2.0
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UserError } from '../abi/user-error.js';
import { partition, sessionNames } from '../analyzer/exports/data-set.js';
import { type ExportResult, type ExportTask, exportTrace } from '../analyzer/exports/export-trace.js';
import { EXPORT_FORMAT_NAMES, EXPORT_FORMATS, type ExportFormatName } from '../analyzer/exports/formats.js';
import { onAllCores } from '../analyzer/workers.js';
import { TraceError } from '../traces/errors.js';
import { openTrace } from '../traces/reader.js';
import { ExitStatus } from './exit-status.js';
import { progressLine } from './progress.js';
import { defineVerb } from './verb.js';

export const verb = defineVerb({
  usage: 'export --to FORMAT -o FILE|DIR TRACE…',
  summary:
    'Traces in the formats of other tools. One trace goes to a file; of Parquet, a directory gets the partitions of a data set; several traces go to a directory.',
  operands: { least: 1, most: Number.MAX_SAFE_INTEGER },
  options: {
    to: {
      choices: EXPORT_FORMAT_NAMES,
      demandOption: true,
      describe:
        'perfetto (ui.perfetto.dev), chrome (JSON for chrome://tracing), parquet (docs/parquet.md), csv, jsonl',
    },
    output: { alias: 'o', type: 'string', demandOption: true, describe: 'a file or a directory' },
  },
  examples: [
    ['vfiotape export --to perfetto -o t.perfetto-trace t.vtape', 'a timeline for ui.perfetto.dev'],
    ['vfiotape export --to parquet -o data/ runs/*.vtape', 'data/events/session=…/part-0.parquet'],
  ],
  async run({ operands, to, output }) {
    const tasks = tasksFor(operands, to, output);
    const results = await runTasks(tasks);
    results.forEach(({ damages }, n) => {
      for (const message of damages) process.stderr.write(`vfiotape: ${operands[n]}: ${message}\n`);
    });
    return ExitStatus.OK;
  },
});

function tasksFor(paths: readonly string[], format: ExportFormatName, output: string): readonly ExportTask[] {
  for (const path of paths)
    if (path === '-')
      throw new UserError('export: a trace is read more than once; save standard input to a file first');
  const { extension } = EXPORT_FORMATS[format];
  const isDirectory = statSync(output, { throwIfNoEntry: false })?.isDirectory() ?? /\/$/.test(output);
  const toPartitions = format === 'parquet' && (isDirectory || !output.endsWith(`.${extension}`));
  if (paths.length === 1 && !isDirectory && !toPartitions) {
    if (statSync(dirname(output), { throwIfNoEntry: false })?.isDirectory() !== true)
      throw new UserError(`export: there is no directory ${dirname(output)}`);
    return [{ source: paths[0] as string, format, path: output }];
  }
  if (!isDirectory && statSync(output, { throwIfNoEntry: false }) !== undefined)
    throw new UserError(
      paths.length > 1
        ? `export: ${output} is a file; several traces need a directory`
        : `export: ${output} is a file without .${extension}, and no directory for a data set`,
    );
  return sessionNames(paths).map((session, n) => {
    const source = paths[n] as string;
    if (format !== 'parquet') return { source, format, path: join(output, `${session}.${extension}`) };
    const { events, findings } = partition(output, session);
    return { source, format, path: events, findingsPath: findings };
  });
}

/** One with progress, several on all cores; what is wrong with a file is the user's to mend. */
export async function runTasks(tasks: readonly ExportTask[]): Promise<readonly ExportResult[]> {
  try {
    const [only] = tasks;
    if (tasks.length !== 1 || only === undefined)
      return await onAllCores<ExportTask, ExportResult>(
        new URL('../analyzer/exports/worker.js', import.meta.url),
        tasks,
      );
    const trace = openTrace(only.source);
    const line = progressLine(`exporting ${trace.name}`, trace.eventCount);
    trace.close();
    const result = await exportTrace(only, {
      events: line.update,
      rules: () => line.say(`exporting ${trace.name}: applying the rules`),
    });
    line.end();
    return [result];
  } catch (error) {
    const { name, message, code } = error as NodeJS.ErrnoException;
    if (error instanceof TraceError || name === 'TraceError') throw new UserError(message);
    if (code !== undefined && /^E[A-Z]+$/.test(code)) throw new UserError(`export: ${message}`);
    throw error;
  }
}
