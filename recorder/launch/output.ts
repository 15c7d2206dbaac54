// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { UserError } from '../../abi/user-error.js';

/** Refuses, before a driver is started, a trace that could not be written after it. */
export function checkOutput(path: string): void {
  const directory = dirname(path);
  try {
    if (!statSync(directory).isDirectory()) throw new UserError(`${directory} is not a directory`);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new UserError(`cannot write ${path}: there is no directory ${directory}`);
    throw new UserError(`cannot write ${path}: ${directory} is not writable (${code ?? String(error)})`);
  }
  const existing = lstatSync(path, { throwIfNoEntry: false });
  if (existing === undefined) return;
  if (existing.isDirectory()) throw new UserError(`cannot write ${path}: it is a directory`);
  if (existing.isSymbolicLink()) throw new UserError(`cannot write ${path}: it is a link; name the file itself`);
  if (!existing.isFile()) throw new UserError(`cannot write ${path}: it is no ordinary file`);
  try {
    accessSync(path, constants.W_OK);
  } catch {
    throw new UserError(`cannot write ${path}: no permission`);
  }
}
