// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { buildDriver, recordStandin, run, scratchDirectory, vfiotape } from './harness.js';

// A recording names the driver's functions and lines where the driver is, and not where it is not.

const scratch = scratchDirectory();
const trace = join(scratch, 't.vtape');
const driver = join(scratch, 'mmio');
const elsewhere = join(scratch, 'elsewhere');

before(() => {
  copyFileSync(buildDriver('mmio'), driver);
  const { status, stderr } = run(process.execPath, [recordStandin, trace, '--mmio=patch', driver, 'plain']);
  assert.equal(status, 0, stderr);
});

test('call sites are named by the file that was recorded, wherever it is by now', () => {
  const named = vfiotape('dump', '--filter', 'kind=load | kind=mmap & object=device', trace);
  assert.deepEqual([named.status, named.stderr], [0, '']);
  const lines = named.stdout.trimEnd().split('\n');
  assert.ok(lines.length > 1);
  for (const line of lines) assert.match(line, / @mmio!\w+\+0x[0-9a-f]+ \(.*mmio\.c:\d+\)$/);
  assert.match(named.stdout, / load .* @mmio!load32\+0x0 \(mmio\.c:\d+\)$/m);

  const filtered = vfiotape('dump', '--filter', 'kind=load & site~load32', trace).stdout;
  assert.equal(
    filtered,
    lines
      .filter((line) => line.includes('!load32+'))
      .map((line) => `${line}\n`)
      .join(''),
  );

  mkdirSync(elsewhere);
  renameSync(driver, join(elsewhere, 'mmio'));
  const plain = vfiotape('dump', '--filter', 'kind=load', trace);
  assert.deepEqual([plain.status, plain.stderr], [0, '']);
  assert.match(plain.stdout, / @mmio\+0x[0-9a-f]+$/m);
  assert.doesNotMatch(plain.stdout, /load32/);
  const moved = vfiotape(
    'dump',
    '--filter',
    'kind=load | kind=mmap & object=device',
    '--symbols',
    elsewhere,
    trace,
  );
  assert.equal(moved.stdout, named.stdout);

  const [json = ''] = vfiotape(
    'dump',
    '--json',
    '--filter',
    'kind=load',
    '--symbols',
    elsewhere,
    trace,
  ).stdout.split('\n');
  const { site, function: name, function_offset, source } = JSON.parse(json) as Record<string, unknown>;
  assert.match(String(site), /^mmio\+0x/);
  assert.deepEqual([name, function_offset], ['load32', '0x0']);
  const [frame] = source as { function: string; file: string; line: number }[];
  assert.equal(frame?.function, 'load32');
  assert.match(frame?.file ?? '', /\/mmio\.c$/);
});

test('another file in its place is said, once, and not believed', () => {
  copyFileSync(buildDriver('sweep'), driver);
  const { status, stdout, stderr } = vfiotape('dump', trace);
  assert.equal(status, 0);
  assert.doesNotMatch(stdout, /mmio!/);
  assert.match(
    stderr,
    /^vfiotape: \S+: changed since the recording, by build-id: \S+\/mmio; --symbols DIR .*\n$/,
  );
});

test('a directory that is none is a mistake', () => {
  const { status, stderr } = vfiotape('info', '--symbols', join(scratch, 'nowhere'), trace);
  assert.equal(status, 2);
  assert.match(stderr, /^vfiotape: --symbols \S+nowhere is no directory; .*\n$/);
});
