// SPDX-License-Identifier: Apache-2.0
// What is asked of a replay by mistake is said, in one line where nothing comes of it.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, scratchDirectory, vfiotape } from '../end-to-end/harness.js';

const scratch = scratchDirectory();
const corpus = (name: string): string => join(root, 'traces/corpus', `${name}.vtape`);
const session = corpus('qemu/img-info');

const REFUSED: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['an end before the beginning', ['--from', '40', '--to', '30'], /--to 30 is before --from 40/],
  ['a beginning behind the end', ['--from', '4000'], /--from 4000: .*img-info\.vtape has events 0 to 89/],
  ['masks learnt of another device', ['--learn', corpus('edu/cdev')], /--learn: .*cdev\.vtape is 1234:11e8/],
];

for (const [what, options, line] of REFUSED) {
  test(`${what} is refused`, () => {
    const { stderr, status } = vfiotape('replay', '--on', 'sim:nvme', ...options, session);
    assert.match(stderr, line);
    assert.match(stderr, /^vfiotape: [^\n]*\n$/);
    assert.equal(status, 2);
  });
}

test('a trace of which nothing can be reissued is no replay without divergence', () => {
  const cut = join(scratch, 'cut.vtape');
  writeFileSync(cut, readFileSync(corpus('edu/group')).subarray(0, 5000));
  const { stdout, stderr, status } = vfiotape('replay', '--on', 'sim:edu', cut);
  assert.equal(stdout, '');
  assert.match(stderr, /nothing in it that could be reissued\n$/);
  assert.equal(status, 2);
  assert.match(
    vfiotape('trim', cut, '--from', '1', '-o', join(scratch, 'x.vtape')).stderr,
    /has no events$/m,
  );
});

test('another device than the recorded one is said, and so is why nothing interrupts', () => {
  const { stdout, stderr } = vfiotape('replay', '--on', 'sim:edu', session);
  assert.equal(
    stderr,
    'vfiotape: sim:edu is 1234:11e8, class 0x00ff00; the recorded device was 1b36:0010, class 0x010802\n',
  );
  assert.match(stdout, /\n {2}recorded without --dma content: a device that looks for commands/);
  assert.match(stdout, /VFIO_DEVICE_GET_REGION_INFO BAR0 size: recorded 16K, seen 1M/);
  const { stderr: said } = vfiotape('diff', session, corpus('edu/cdev'));
  assert.match(said, /two kinds of device, 1b36:0010 and 1234:11e8/);
});

test('a mask that is misspelt, or out of date, is told', () => {
  const masks = join(scratch, 'masks');
  writeFileSync(masks, 'BAR0 CAP\nBAR0 CAPS # there is none\n');
  const { stdout } = vfiotape('replay', '--on', 'sim:nvme', '--mask', masks, session);
  assert.match(stdout, /\n {2}masks that covered nothing that differed: BAR0 CAPS\n/);
});
