// SPDX-License-Identifier: Apache-2.0
/** What is C and for people to read builds without a warning, and says how it is used. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-examples-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const PROGRAMS = [
  ['examples/edu', 'edu'],
  ['examples/nvme', 'nvme'],
  ['test/conformance/probe', 'probe'],
] as const;

for (const compiler of ['gcc', 'clang']) {
  for (const [place, program] of PROGRAMS) {
    test(`${place} by ${compiler}`, (context) => {
      if (spawnSync(compiler, ['--version']).status !== 0) return context.skip(`no ${compiler}`);
      const out = join(scratch, compiler);
      const words = [
        '-s',
        '-C',
        join(packageRoot(), place),
        `OUT=${out}`,
        `CC=${compiler}`,
        'CFLAGS=-O2 -g -Werror',
      ];
      const { status, stderr } = spawnSync('make', words, { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const used = spawnSync(join(out, program), [], { encoding: 'utf8' });
      assert.equal(used.status, 2);
      assert.match(used.stderr, new RegExp(`^usage: ${program} .*DDDD:BB:DD\\.F`));
    });
  }
}

test('a device that is not there is said in one line', () => {
  const { status, stderr } = spawnSync(join(scratch, 'gcc/nvme'), ['ffff:ff:1f.7'], { encoding: 'utf8' });
  if (status === null) return;
  assert.equal(status, 1);
  assert.match(stderr, /^nvme: cannot find the device's IOMMU group .*\n$/);
});
