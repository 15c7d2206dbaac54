// SPDX-License-Identifier: Apache-2.0
/** `-o FILE` of the verbs that make a trace out of a trace. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { escapeText } from '../abi/text.js';
import { UserError } from '../abi/user-error.js';
import { checkOutput } from '../recorder/launch/output.js';
import { TraceWriteError } from '../traces/errors.js';

/** Where it goes, absolute; an error of the user's when that can't be, or is the trace itself. */
export function newTrace(verb: string, trace: string, output: string): string {
  if (output === '') throw new UserError(`${verb}: -o needs the name of a file`);
  checkOutput(resolve(output));
  const [one, other] = [trace, output].map((path) => statSync(path, { throwIfNoEntry: false }));
  if (one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino)
    throw new UserError(`${verb}: -o ${escapeText(output)} is the trace itself`);
  return resolve(output);
}

/** What keeps the new file from being written is the user's to mend. */
export async function writing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof TraceWriteError) throw new UserError(error.message);
    throw error;
  }
}
