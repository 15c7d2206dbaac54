// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { command, run, vfiotape } from './harness.js';
import { LIMIT, sharedScratch } from './simulated.js';

const scratch = sharedScratch();

test('the demo goes to its end, and leaves what it speaks of', LIMIT, () => {
  const output = join(scratch, 'demo');
  const { status, stdout, stderr } = run(process.execPath, [command, 'demo', '-o', output], {
    // Ten programs, one after the other.
    timeout: 200_000,
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^data: 16384 bytes written, flushed, read back and equal/m);
  assert.match(stdout, /^ +\d+ .* wake poll IN device0 MSIX\[0\]/m);
  assert.match(stdout, /^nvme\.vtape: 0 errors, 0 warnings/m);
  assert.match(stdout, /^nvme\.vtape on sim:nvme: no divergence$/m);
  assert.match(stderr, /^vfiotape: played nvme\.vtape as .*, no departure$/m);
  assert.match(stdout, /\nWhat was done\n/);
  for (const name of ['nvme.vtape', 'report.html']) assert.ok(readdirSync(output).includes(name), name);
});

test('a demo that has no place to work in is one line', LIMIT, () => {
  const file = join(scratch, 'file');
  writeFileSync(file, '');
  const { status, stderr } = vfiotape('demo', '-o', join(file, 'demo'));
  assert.equal(status, 2);
  assert.match(stderr, /^vfiotape: demo: [^\n]* can't be made: [^\n]*\n$/);
});
