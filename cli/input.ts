// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../abi/user-error.js';
import { TraceError } from '../traces/errors.js';
import { openTrace, type Trace } from '../traces/reader.js';

/** Runs `work` on the trace and closes it; what is wrong with the file or with reaching it is the user's to mend. */
export async function withTrace<T>(path: string, work: (trace: Trace) => T | Promise<T>): Promise<T> {
  let trace: Trace | undefined;
  try {
    trace = openTrace(path);
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
