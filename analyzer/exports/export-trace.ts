// SPDX-License-Identifier: Apache-2.0
/** One trace to one file, in this thread or another: everything that it needs is plain data. */
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { openTrace, type Trace } from '../../traces/reader.js';
import type { Finding } from '../check/finding.js';
import { inAnotherThread } from '../workers.js';
import { findingsOf } from './findings.js';
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

export interface ExportProgress {
  /** So many are written. */
  events(count: number): void;
  /** All are, and what the rules find is awaited. */
  rules(): void;
}

export async function exportTrace(task: ExportTask, progress?: ExportProgress): Promise<ExportResult> {
  const { source, path, findingsPath } = task;
  const format = EXPORT_FORMATS[task.format];
  for (const file of [path, ...(findingsPath === undefined ? [] : [findingsPath])])
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const trace = openTrace(source);
  // Applying the rules takes longer than writing the events. Where traces are exported side by side, all cores are busy already.
  const isApart =
    (format.findings || findingsPath !== undefined) && isMainThread && availableParallelism() > 1;
  const apart = isApart ? inAnotherThread<string | number, readonly Finding[]>(RULES, source) : undefined;
  const findings = async (): Promise<readonly Finding[]> => {
    progress?.rules();
    return apart?.result ?? findingsOf(source);
  };
  try {
    await format.write({
      trace,
      path,
      findings,
      ...(progress !== undefined && { progress: (events) => progress.events(events) }),
    });
    if (findingsPath !== undefined) await writeFindings(findingsPath, await findings());
    return { events: trace.eventCount, damages: damagesOf(trace) };
  } finally {
    apart?.stop();
    trace.close();
  }
}

const RULES = new URL('./findings-worker.js', import.meta.url);

function damagesOf(trace: Trace): readonly string[] {
  return trace.damages.map(({ message }) => message);
}
