// SPDX-License-Identifier: Apache-2.0
/** What tests of `play` share: drivers, their recordings on simulated devices, and drivers that were changed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, vfiotape } from './harness.js';
import { buildExample, sharedScratch } from './simulated.js';

export const scratch = sharedScratch();
export const nvme = buildExample('nvme', scratch);
export const edu = buildExample('edu', scratch);
export const traceOf = (name: string): string => join(scratch, `${name}.vtape`);

export function record(name: string, device: string, driver: readonly string[]): string {
  const { status, stdout, stderr } = vfiotape(
    ...['record', '--sim', device, '--dma', 'content', '-o', traceOf(name), '--', ...driver],
  );
  assert.equal(status, 0, stderr);
  assert.match(stderr, /nothing lost/);
  return stdout;
}

/** Without what qemu-io says of its speed. */
export const untimed = (text: string): string => text.replaceAll(/^.* ops; .*$/gm, '');

/** The first event that fits, by its line in dump. */
export function eventOf(name: string, filter: string): string {
  const { stdout } = vfiotape('dump', '--filter', filter, traceOf(name));
  return /^\s*(\d+)/.exec(stdout)?.[1] ?? 'none';
}

/** A driver with some lines changed. */
export function patched(name: string, ...changes: readonly (readonly [from: string, to: string])[]): string {
  const sources = join(scratch, name, 'examples', 'nvme');
  cpSync(join(root, 'examples', 'nvme'), sources, { recursive: true });
  symlinkSync(join(root, 'abi'), join(scratch, name, 'abi'));
  let text = readFileSync(join(sources, 'nvme.c'), 'utf8');
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), from);
    text = text.replace(from, to);
  }
  writeFileSync(join(sources, 'nvme.c'), text);
  const out = join(scratch, name);
  execFileSync('make', ['-s', '-C', sources, `OUT=${out}`]);
  return join(out, 'nvme');
}
