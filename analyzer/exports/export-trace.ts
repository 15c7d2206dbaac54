// SPDX-License-Identifier: Apache-2.0
/** One trace to one file, in this thread or another: everything that it needs is plain data. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { openTrace, type Trace } from '../../traces/reader.js';
import { check } from '../check/check.js';
import type { Finding } from '../check/finding.js';
import { writeFindings } from './findings-table.js';
import { EXPORT_FORMATS, type ExportFormatName } from './formats.js';

export interface ExportTask {
  readonly source: string | number;
  readonly format: ExportFormatName;
  readonly path: string;
  /** Of Parquet: a file beside it for the findings. */
  readonly findingsPath?: string;
}

export interface ExportResult {
  readonly events: number;
  readonly damages: readonly string[];
}

export async function exportTrace(
  task: ExportTask,
  progress?: (events: number) => void,
): Promise<ExportResult> {
  const { source, path, findingsPath } = task;
  const format = EXPORT_FORMATS[task.format];
  for (const file of [path, ...(findingsPath === undefined ? [] : [findingsPath])])
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const findings = format.findings || findingsPath !== undefined ? findingsOf(source) : [];
  const trace = openTrace(source);
  try {
    await format.write({ trace, path, findings, ...(progress !== undefined && { progress }) });
    if (findingsPath !== undefined) await writeFindings(findingsPath, findings);
    return { events: trace.eventCount, damages: damagesOf(trace) };
  } finally {
    trace.close();
  }
}

function findingsOf(source: string | number): readonly Finding[] {
  const trace = openTrace(source);
  try {
    return check(trace).verdicts.flatMap(({ findings }) => findings);
  } finally {
    trace.close();
  }
}

function damagesOf(trace: Trace): readonly string[] {
  return trace.damages.map(({ message }) => message);
}
