// SPDX-License-Identifier: Apache-2.0
// `play`: a recorded device is given back to the unmodified driver.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { vfiotape } from './harness.js';
import { edu, nvme, record, scratch, traceOf, untimed } from './played.js';
import { BDF, LIMIT, missing, NAMESPACE } from './simulated.js';

interface Case {
  readonly title: string;
  readonly device: string;
  readonly driver: readonly string[];
}

const CASES: readonly Case[] = [
  { title: 'nvme-polled', device: 'nvme', driver: [nvme, BDF] },
  { title: 'nvme-msix', device: 'nvme', driver: [nvme, '--irq', 'msix', BDF] },
  { title: 'nvme-cdev', device: 'nvme', driver: [nvme, '--cdev', '--irq', 'msix', BDF] },
  { title: 'edu-group', device: 'edu', driver: [edu, BDF] },
  { title: 'edu-cdev', device: 'edu', driver: [edu, '--cdev', BDF] },
  { title: 'edu-elsewhere', device: 'edu:bdf=0000:03:00.0', driver: [edu, '0000:03:00.0'] },
  { title: 'qemu-img-info', device: 'nvme', driver: ['qemu-img', 'info', NAMESPACE] },
  {
    title: 'qemu-io-read',
    device: 'nvme',
    driver: [
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'write -P 7 64k 4k',
      '-c',
      'read -v 64k 4k',
      '-c',
      'read 128k 256k',
      NAMESPACE,
    ],
  },
];

for (const { title, device, driver } of CASES) {
  const skip = driver[0]?.startsWith('qemu') === true && missing(driver[0]);
  test(`${title}: the unmodified driver prints the same without its device`, { ...LIMIT, skip }, () => {
    const recorded = record(title, device, driver);
    const played = vfiotape('play', traceOf(title), '--', ...driver);
    assert.equal(played.status, 0, played.stderr);
    assert.equal(untimed(played.stdout), untimed(recorded));
    assert.match(played.stderr, /^vfiotape: played .* [1-9]\d* bytes of DMA, .*, no departure\n$/);
  });
}

before(() => {
  record('edu', 'edu', [edu, BDF]);
});

test('a driver that does less is told what did not come', LIMIT, () => {
  const played = vfiotape('play', traceOf('edu'), '--', 'true');
  assert.equal(played.status, 1);
  assert.match(
    played.stderr,
    /: the driver ended before it\n.*expected {2}device0 .*\n.*got .* recorded writes did not come\n/,
  );
});

test('run and record take a trace for a device, and give the driver’s own status', LIMIT, () => {
  const run = vfiotape('run', '--sim', traceOf('edu'), '--', edu, BDF);
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stderr, /^vfiotape: played .*, no departure\n$/);

  const again = join(scratch, 'again.vtape');
  const words = [
    '--sim',
    `${traceOf('edu')}:bdf=0000:07:00.0`,
    '--sim',
    'nvme',
    '--dma',
    'content',
    '-o',
    again,
  ];
  const record = vfiotape('record', ...words, '--', edu, '0000:07:00.0');
  assert.equal(record.status, 0, record.stderr);
  assert.match(record.stderr, /no departure/);
  const played = vfiotape('play', again, '--', edu, '0000:07:00.0');
  assert.equal(played.status, 0, played.stderr);

  const other = vfiotape('run', '--sim', traceOf('edu'), '--', 'true');
  assert.equal(other.status, 0);
  assert.match(other.stderr, /1 departure\n/);
});

test('without DMA content it says what can’t be played', LIMIT, () => {
  const plain = traceOf('plain');
  assert.equal(vfiotape('record', '--sim', 'edu', '-o', plain, '--', edu, BDF).status, 0);
  const played = vfiotape('play', plain, '--', 'true');
  assert.match(
    played.stderr,
    /recorded without --dma content: registers and interrupts are played, not what the device wrote into memory\n/,
  );
});

const MISTAKES: readonly (readonly [readonly string[], RegExp])[] = [
  [[], /play: too few arguments; usage: vfiotape play TRACE/],
  [['a.vtape'], /play: too few arguments/],
  [['-', '--', 'true'], /play: standard input is the driver’s; name a file/],
  [['/nonexistent.vtape', '--', 'true'], /\/nonexistent\.vtape: can't be opened/],
  [['/dev/null', '--', 'true'], /\/dev\/null/],
  [['TRACE', '--mask', '/nonexistent', '--', 'true'], /--mask \/nonexistent can't be read/],
  [['TRACE', '--mask', 'TRACE', '--', 'true'], /is no mask/],
  [['TRACE', '--sim-kernel', 'iommu=arm', '--', 'true'], /should be one of intel/],
  [['TRACE', '--', 'vfiotape-no-such-driver'], /no driver named/],
  [['TRACE', '--speed', '2', '--', 'true'], /unknown argument: speed/],
];

for (const [words, expected] of MISTAKES) {
  test(`play ${words.join(' ')}: one line, and status 2`, LIMIT, () => {
    const { status, stderr } = vfiotape(
      'play',
      ...words.map((word) => (word === 'TRACE' ? traceOf('edu') : word)),
    );
    assert.equal(status, 2, stderr);
    assert.match(stderr, expected);
    assert.match(stderr, /^vfiotape: [^\n]*\n$/);
  });
}
