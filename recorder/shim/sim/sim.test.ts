// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { packageRoot } from '../../../abi/package-root.js';
import { SIM_VARIABLE } from '../../../abi/wire/sim.js';
import { TestServer } from './test/server.js';

const work = mkdtempSync(join(tmpdir(), 'vfiotape-sim-'));
const driver = join(work, 'driver');

before(() => {
  const source = join(packageRoot(), 'recorder/shim/sim/test/driver.c');
  const options = ['-O1', '-g', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-pthread'];
  const built = spawnSync('cc', [...options, '-o', driver, source], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
});

after(() => rmSync(work, { recursive: true }));

interface Outcome {
  readonly status: number | null;
  readonly signal: string | null;
  readonly errors: string;
}

async function drive(scenario: string): Promise<Outcome> {
  const server = new TestServer();
  await server.start();
  try {
    return await new Promise<Outcome>((resolve) => {
      const shim = join(packageRoot(), 'build/libvfiotape.so');
      const env = { PATH: process.env['PATH'], LD_PRELOAD: shim, [SIM_VARIABLE]: server.directory };
      const child = spawn(driver, [scenario], { env, stdio: ['ignore', 'inherit', 'pipe'] });
      let errors = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
      child.on('close', (status, signal) => resolve({ status, signal, errors }));
    });
  } finally {
    server.stop();
  }
}

const SCENARIOS = {
  files: 'files are opened, told by fstat and /proc, duplicated and closed',
  data: 'reads and writes, also of addresses that are no good',
  registers: 'loads and stores, and the faults of those that are refused',
  mappings: 'mappings are cut, moved and replaced',
  interrupts: 'eventfds are signalled and watched',
  hidden: "the shim's own descriptors are not there for the driver",
  forks: 'children share files and mappings',
  threads: 'threads ask at the same time',
  passes: 'a descriptor that another process sent',
  paths: 'paths of devices lead into the tree, and are told without it',
} as const;

for (const [scenario, title] of Object.entries(SCENARIOS)) {
  test(title, async () => {
    assert.deepEqual(await drive(scenario), { status: 0, signal: null, errors: '' });
  });
}

test('an image after exec knows what it inherited, though its environment was cleared', async () => {
  assert.deepEqual(await drive('execs'), { status: 0, signal: null, errors: '' });
});

test('a dead simulator is an error, not a hang, and is told once', async () => {
  assert.deepEqual(await drive('dead'), {
    status: 0,
    signal: null,
    errors: 'vfiotape: the simulator has ended\n',
  });
});
