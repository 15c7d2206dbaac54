// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../abi/user-error.js';
import { TraceError } from '../traces/errors.js';
import { openTrace, type Trace } from '../traces/reader.js';

/** Runs `work` on the trace and closes it; what is wrong with the file or with reaching it is the user's to mend. */
export async function withTrace<T>(
  path: string | number,
  work: (trace: Trace) => T | Promise<T>,
  called?: string,
): Promise<T> {
  let trace: Trace | undefined;
  try {
    trace = openTrace(path, called);
    return await work(trace);
  } catch (error) {
    if (error instanceof TraceError) throw new UserError(error.message);
    throw error;
  } finally {
    trace?.close();
  }
}

/** One line on standard error for each thing that could not be read. */
export function reportDamages(trace: Trace): void {
  for (const { message } of trace.damages) process.stderr.write(`vfiotape: ${trace.name}: ${message}\n`);
}

/** The same for whoever reads the trace more than once: what comes on standard input is kept in a nameless file meanwhile. */
export async function withWholeTrace<T>(path: string, work: (trace: Trace) => T | Promise<T>): Promise<T> {
  if (path !== '-') return withTrace(path, work);
  const spool = spoolInput();
  try {
    return await withTrace(spool, work, 'standard input');
  } finally {
    closeSync(spool);
  }
}

const PIECE_BYTES = 1 << 20;

function spoolInput(): number {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-input-'));
  try {
    const file = openSync(join(directory, 'trace'), 'wx+', 0o600);
    const piece = new Uint8Array(PIECE_BYTES);
    for (let got = readSync(0, piece); got > 0; got = readSync(0, piece)) {
      for (let put = 0; put < got; ) put += writeSync(file, piece, put, got - put);
    }
    return file;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
