// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { UserError } from '../abi/user-error.js';

/** Writes to standard output at the pace of whoever reads it. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** What is made from a trace is as private as the trace. */
export function writePrivate(path: string, text: string | Uint8Array): void {
  try {
    writeFileSync(path, text, { mode: 0o600 });
    // One that was there has kept its mode.
    if (statSync(path).isFile()) chmodSync(path, 0o600);
  } catch (error) {
    throw new UserError(`${path} can't be written: ${(error as Error).message}`);
  }
}
