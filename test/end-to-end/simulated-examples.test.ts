// SPDX-License-Identifier: Apache-2.0
// The drivers of examples/ on simulated devices, run and recorded, by root and by an ordinary user.
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { vfiotape } from './harness.js';
import { asUser, BDF, buildExample, LIMIT, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const nvme = buildExample('nvme', scratch);
const edu = buildExample('edu', scratch);
for (const program of [nvme, edu]) chmodSync(program, 0o755);
let traces = 0;

interface Case {
  readonly title: string;
  readonly words: readonly string[];
  readonly says: RegExp;
}

const NVME_SAYS =
  /^data: 16384 bytes written, flushed, read back and equal; the old blocks are there again$/m;
const EDU_SAYS = /^factorial of 10: 3628800\n(.*\n)*DMA: 2048 bytes there and back$/m;
const CASES: readonly Case[] = [
  ...[[], ['--cdev']].flatMap((by) =>
    ['polled', 'msix'].map((irq) => ({
      title: `examples/nvme ${[...by, '--irq', irq].join(' ')}`,
      words: ['--sim', 'nvme', '--', nvme, ...by, '--irq', irq, BDF],
      says: NVME_SAYS,
    })),
  ),
  ...['polled', 'msix'].map((irq) => ({
    title: `examples/nvme --lyon2010 --irq ${irq}`,
    words: ['--sim', 'nvme', '--abi', 'lyon2010', '--', nvme, '--lyon2010', '--irq', irq, BDF],
    says: NVME_SAYS,
  })),
  ...[[], ['--cdev']].map((by) => ({
    title: `examples/edu ${by.join(' ')}`.trimEnd(),
    words: ['--sim', 'edu', '--', edu, ...by, BDF],
    says: EDU_SAYS,
  })),
];

for (const { title, words, says } of CASES) {
  test(`run: ${title}`, LIMIT, () => {
    const { status, stdout, stderr } = vfiotape('run', ...words);
    assert.equal(status, 0, stderr);
    assert.match(stdout, says);
    assert.equal(stderr, '');
  });

  test(`record: ${title}`, LIMIT, () => {
    const path = join(scratch, `${traces++}.vtape`);
    const { status, stdout, stderr } = vfiotape('record', '-o', path, ...words);
    assert.equal(status, 0, stderr);
    assert.match(stdout, says);
    assert.match(stderr, /nothing lost\n$/);
    const trace = openTrace(path);
    assert.equal(trace.header.modes.backend, 'simulated');
    const kinds = new Set<number>();
    for (const batch of trace.batches())
      for (let row = batch.begin; row < batch.end; row++) kinds.add(batch.kind[row] as number);
    assert.deepEqual(trace.damages, []);
    trace.close();
    for (const kind of [EventKind.OPEN, EventKind.IOCTL, EventKind.MMAP, EventKind.LOAD, EventKind.STORE])
      assert.ok(kinds.has(kind), `no event of kind ${kind}`);
  });
}

for (const { title, words, says } of CASES.slice(1, 5)) {
  test(`run and record, an ordinary user: ${title}`, LIMIT, () => {
    for (const verb of [['run'], ['record', '-o', join(scratch, `user-${traces++}.vtape`)]]) {
      const { status, stdout, stderr } = asUser([...verb, ...words], { cwd: scratch });
      assert.equal(status, 0, stderr);
      assert.match(stdout, says);
    }
  });
}

test('edu and NVMe side by side, each behind its own group', LIMIT, () => {
  const machine = ['--sim', 'edu', '--sim', 'nvme', '--sim', 'nvme:bdf=0000:02:00.0'];
  for (const [driver, bdf] of [
    [edu, BDF],
    [nvme, '0000:00:05.0'],
    [nvme, '0000:02:00.0'],
  ] as const) {
    const { status, stderr } = vfiotape('run', ...machine, '--', driver, bdf);
    assert.equal(status, 0, stderr);
  }
  const { status, stderr } = vfiotape('run', ...machine, '--', nvme, '0000:00:06.0');
  assert.equal(status, 1);
  assert.match(stderr, /^nvme: cannot find the device's IOMMU group/);
});

test('every kernel that there is to choose', LIMIT, () => {
  const outcome = (kernel: string, ...words: string[]) =>
    vfiotape('run', '--sim', 'nvme', '--sim-kernel', kernel, '--', nvme, ...words, BDF);
  for (const kernel of [
    'version=6.1',
    'iommu=amd',
    'version=6.1,iommu=amd',
    'iommu=virtio,unsafe-interrupts=on',
  ]) {
    const { status, stderr } = outcome(kernel);
    assert.equal(status, 0, `${kernel}: ${stderr}`);
  }
  // As on such machines: no character devices, no interrupt remapping.
  for (const [kernel, words, says] of [
    ['version=6.1', ['--cdev'], /^nvme: cannot .*\n$/],
    ['iommu=virtio', [], /^nvme: cannot .*Operation not permitted\n$/],
    ['iommu=none,noiommu=on', [], /^nvme: cannot .*\n$/],
  ] as const) {
    const { status, stderr } = outcome(kernel, ...words);
    assert.equal(status, 1, kernel);
    assert.match(stderr, says);
  }
});
