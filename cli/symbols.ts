// SPDX-License-Identifier: Apache-2.0
import { statSync } from 'node:fs';
import { UserError } from '../abi/user-error.js';
import { CallSites } from '../session/symbols/call-sites.js';
import type { Trace } from '../traces/reader.js';

export const SYMBOLS_OPTION = {
  type: 'string',
  array: true,
  describe: 'also look here for the driver’s files and their debug information, to name call sites',
} as const;

/** Runs `work` with what names the trace's call sites; says on standard error what kept it from naming some. */
export async function withCallSites<T>(
  trace: Trace,
  directories: readonly string[] | undefined,
  work: (callSites: CallSites) => Promise<T>,
): Promise<T> {
  for (const directory of directories ?? []) {
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new UserError(`--symbols ${directory} is no directory; give one that holds the driver's files`);
    }
  }
  const callSites = new CallSites(trace.definitions, directories);
  try {
    return await work(callSites);
  } finally {
    callSites.close();
    for (const note of callSites.notes()) process.stderr.write(`vfiotape: ${trace.name}: ${note}\n`);
  }
}
