// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { packageRoot } from '../../../abi/package-root.js';
import { MmioMode, ObjectKind, RecordKind } from '../../../abi/wire/record.js';
import { SIM_VARIABLE } from '../../../abi/wire/sim.js';
import { RawSession } from '../test/raw-session.js';
import { REFUSED_FROM, TestServer } from './test/server.js';

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

async function drive(scenario: string, session?: RawSession): Promise<Outcome> {
  const server = new TestServer();
  await server.start();
  try {
    return await new Promise<Outcome>((resolve) => {
      const env = {
        PATH: process.env['PATH'],
        LD_PRELOAD: join(packageRoot(), 'build/libvfiotape.so'),
        [SIM_VARIABLE]: server.directory,
        ...(session === undefined ? {} : { VFIOTAPE_SESSION: session.directory }),
      };
      const child = spawn(driver, [scenario], { env, stdio: ['ignore', 'inherit', 'pipe'] });
      let errors = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        errors += text;
      });
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
  test(`${title}: recorded`, async () => {
    for (const mmioMode of [MmioMode.PATCH, MmioMode.OFF]) {
      const session = new RawSession({ mmioMode });
      try {
        assert.deepEqual(await drive(scenario, session), { status: 0, signal: null, errors: '' });
        const recorded = session.records().some(({ kind }) => kind === RecordKind.LOAD);
        if (mmioMode === MmioMode.OFF) assert.ok(!recorded, 'unasked');
      } finally {
        session.remove();
      }
    }
  });
}

test('what is recorded is what would be on hardware', async () => {
  const session = new RawSession({ mmioMode: MmioMode.PATCH });
  try {
    assert.equal((await drive('registers', session)).status, 0);
    const records = session.records();
    const opened = records.filter(({ kind }) => kind === RecordKind.OPEN);
    assert.deepEqual(
      opened.map(({ fd, segments }) => [fd, segments[0]?.data.toString(), segments[1]?.data.readUInt32LE(0)]),
      [
        [3, '/dev/vfio/vfio', ObjectKind.CONTAINER],
        [4, '/dev/vfio/7', ObjectKind.GROUP],
      ],
    );
    const born = records.find(({ kind, op }) => kind === RecordKind.IOCTL && op === 0x3b6a);
    assert.equal(born?.result, 5n);
    const kind = born?.segments.at(-1)?.data;
    assert.equal(kind?.readUInt32LE(0), ObjectKind.DEVICE);
    const accesses = records.filter(
      (record) => record.kind >= RecordKind.LOAD && record.kind <= RecordKind.UPDATE,
    );
    assert.ok(accesses.every(({ object }) => object === kind?.readUInt32LE(4)));
    const first = accesses
      .slice(0, 4)
      .map(({ kind, offset, value, op }) => [kind, offset, value, op & 0xffff]);
    assert.deepEqual(first, [
      [RecordKind.STORE, 4n, 0x12345678n, 4 << 8],
      [RecordKind.LOAD, 4n, 0x12345678n, 4 << 8],
      [RecordKind.LOAD, 6n, 0x1234n, 2 << 8],
      [RecordKind.LOAD, 4n, 0x78n, 1 << 8],
    ]);
    const refused = accesses.filter(({ offset }) => offset >= BigInt(REFUSED_FROM));
    assert.deepEqual(
      refused.map(({ errno }) => errno),
      [14],
    );
  } finally {
    session.remove();
  }
});

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
