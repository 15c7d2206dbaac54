// SPDX-License-Identifier: Apache-2.0
import { accessSync, closeSync, constants, lstatSync, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import { FRAME_BYTES, parseFrame } from '../../traces/frame.js';

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
  if (existing.isSymbolicLink())
    throw new UserError(`cannot write ${path}: it is a link; name the file itself`);
  if (!existing.isFile()) throw new UserError(`cannot write ${path}: it is no ordinary file`);
  try {
    accessSync(path, constants.W_OK);
  } catch {
    throw new UserError(`cannot write ${path}: no permission`);
  }
  // An earlier trace is replaced, as other recorders do; a driver that was named where the trace belongs is not.
  if (existing.size > 0 && !isTrace(path)) {
    throw new UserError(
      `cannot write ${path}: it exists and is not a trace; remove it, or choose another name`,
    );
  }
}

function isTrace(path: string): boolean {
  const head = new Uint8Array(FRAME_BYTES);
  const fd = openSync(path, 'r');
  try {
    return parseFrame(head.subarray(0, readSync(fd, head, 0, FRAME_BYTES, 0))) !== undefined;
  } finally {
    closeSync(fd);
  }
}
