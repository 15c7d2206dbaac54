// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';

/** The 512 bytes that guest/boot-sector.S is; `directory` is for what the assembler leaves. */
export function assembleBootSector(directory: string): Uint8Array {
  const object = join(directory, 'boot-sector.o');
  const image = join(directory, 'boot-sector');
  execFileSync('as', ['--32', '-o', object, join(packageRoot(), 'test/lab/guest/boot-sector.S')]);
  execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, image]);
  return readFileSync(image);
}
