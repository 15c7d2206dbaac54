// SPDX-License-Identifier: Apache-2.0
// libblkio on simulated machines: it starts as far as its device exists, and misses one as it would without it.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileC } from '../compile.js';
import { root, run, vfiotape } from './harness.js';
import { asUser, BDF, LIMIT, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const driver = join(scratch, 'blkio');
compileC(driver, ['test/end-to-end/drivers/blkio.c'], ['-O1', '-Werror', '-ldl']);

const LIB = 'lib/x86_64-linux-gnu/libblkio.so.1';
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vfiotape');
/** This machine's own, or one that a script of the lab has unpacked. */
const library = ['/usr', join(cache, 'libblkio/usr'), join(cache, 'trixie/usr')]
  .map((place) => join(place, LIB))
  .find((path) => existsSync(path));
const skip = library === undefined ? 'no libblkio; test/lab/setup-libblkio unpacks one' : false;
// Where an ordinary user may read it.
const copy = join(scratch, 'libblkio.so.1');
if (library !== undefined) copyFileSync(library, copy);
const command = [driver, copy] as const;

/** Recorded with the library in a guest of the lab: the device is played. */
const DISK = join(root, 'traces/corpus/qemu/blkio-io.vtape');

test('a card of another kind, and none at all', { ...LIMIT, skip }, () => {
  const other = vfiotape('run', '--sim', 'nvme', '--', ...command, BDF);
  assert.equal(other.status, 1);
  assert.equal(
    other.stderr,
    'blkio: cannot connect: Expected Vendor ID 0x1af4, got 0x1b36 (Input/output error)\n',
  );
  const none = vfiotape('run', '--sim', 'nvme', '--', ...command, '0000:00:07.0');
  const [program, ...words] = command;
  const bare = run(program, [...words, '0000:00:07.0']);
  assert.equal(none.status, 1);
  assert.match(none.stderr, /^blkio: cannot connect: No such file or directory/);
  assert.equal(none.stderr, bare.stderr, 'as on this machine, which has no such device either');
});

test('a disk that was recorded: it is brought up as it was', { ...LIMIT, skip }, () => {
  const trace = join(scratch, 'blkio.vtape');
  const outcome = vfiotape('record', '-o', trace, '--sim', DISK, '--', ...command, '0000:00:09.0');
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.equal(outcome.stdout, 'connected: 67108864 bytes, 2 queues\nstarted\n');
  assert.match(outcome.stderr, /nothing lost/);
  // No request is made, so that the only departure is where the recorded session has its first.
  assert.match(outcome.stderr, /left the script at event 379:/);
  const ready = vfiotape('dump', '--filter', 'kind=store', trace).stdout;
  assert.match(ready, /device_status = 0x0f ACKNOWLEDGE=1 DRIVER=1 DRIVER_OK=1 FEATURES_OK=1/);
});

test('as an ordinary user', { ...LIMIT, skip }, () => {
  const { status, stderr } = asUser(['run', '--sim', 'nvme', '--', ...command, BDF], { cwd: scratch });
  assert.equal(status, 1);
  assert.match(stderr, /Expected Vendor ID 0x1af4, got 0x1b36/);
});
