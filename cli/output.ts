// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events';

/** Writes to standard output at the pace of whoever reads it. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}
