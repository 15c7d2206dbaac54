// SPDX-License-Identifier: Apache-2.0
/** The C programs of tests, lab and bench. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../abi/package-root.js';

/** What examples/nvme drives VFIO with, in its three dialects (vfio.h): other programs link it, too. */
export const EXAMPLE_VFIO: readonly string[] = [
  'examples/nvme/vfio.c',
  'examples/nvme/lyon2010.c',
  'examples/nvme/lyon2010_netlink.c',
];

/** Compiles `sources`, paths within the project, to `program`. Throws what the compiler said. */
export function compileC(program: string, sources: readonly string[], flags: readonly string[] = []): void {
  const root = packageRoot();
  const all = ['-std=gnu11', '-O2', '-g', '-Wall', '-Wextra', '-D_GNU_SOURCE', '-pthread', ...flags];
  const files = sources.map((source) => join(root, source));
  execFileSync(process.env['CC'] ?? 'cc', [...all, '-o', program, ...files]);
}
