// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../../abi/package-root.js';

const watcher = join(packageRoot(), 'recorder/shim/mmio');

/** Compiles a program of this directory together with the watcher and its rig. */
export function buildWithRig(name: string, flags: readonly string[], ...more: readonly string[]): string {
  const directory = join(packageRoot(), 'build/mmio');
  mkdirSync(directory, { recursive: true });
  const program = join(directory, `${name}${flags.join('')}.${process.pid}`);
  const sources = readdirSync(watcher).filter((file) => file.endsWith('.c'));
  execFileSync(process.env['CC'] ?? 'cc', [
    ...['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-g', '-Wall', '-Wextra', '-fno-strict-aliasing', ...flags],
    ...['-o', program, join(watcher, 'test', `${name}.c`), ...more],
    ...[join(watcher, 'test/rig.c'), ...sources.map((file) => join(watcher, file)), '-pthread', '-ldl'],
  ]);
  return program;
}
