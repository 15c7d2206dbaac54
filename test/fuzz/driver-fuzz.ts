// SPDX-License-Identifier: Apache-2.0
/** Runs driver-fuzz.c, a driver that does anything, on a simulated machine of its own. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { IOCTLS_BY_KIND } from '../../abi/ioctls.js';
import { CDEV, CONTAINER, DEVICE } from '../../abi/object-kinds.js';
import { packageRoot } from '../../abi/package-root.js';

export function buildDriverFuzz(out: string): string {
  const program = join(out, 'driver-fuzz');
  const flags = ['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-D_GNU_SOURCE', '-pthread'];
  execFileSync(process.env['CC'] ?? 'cc', [
    ...flags,
    '-o',
    program,
    join(packageRoot(), 'test/fuzz/driver-fuzz.c'),
  ]);
  return program;
}

export const FUZZ_MACHINE: readonly string[] = ['nvme:size=4M', 'edu', 'edu:bdf=0000:01:00.0'].flatMap(
  (device) => ['--sim', device],
);

/** The program's words: requests of containers, of devices, of all others. */
export function fuzzWords(seed: number, calls: number, threads: number): readonly string[] {
  const lists: string[][] = [[], [], []];
  for (const [kind, ioctls] of Object.entries(IOCTLS_BY_KIND)) {
    const list = Number(kind) === CONTAINER ? 0 : Number(kind) === DEVICE || Number(kind) === CDEV ? 1 : 2;
    for (const { request } of ioctls) lists[list]?.push(String(request));
  }
  const requests = lists.flatMap((list, i) => [...(i === 0 ? [] : ['-']), ...new Set(list)]);
  return [String(seed), String(calls), String(threads), ...requests];
}
