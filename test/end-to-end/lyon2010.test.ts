// SPDX-License-Identifier: Apache-2.0
// Drivers of 2010 on simulated machines: run, recorded, judged, replayed; the same driver in three dialects.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, scratchDirectory, vfiotape } from './harness.js';
import { BDF, buildExample, LIMIT } from './simulated.js';

const scratch = scratchDirectory();
const nvme = buildExample('nvme', scratch);
const lyon = join(scratch, 'lyon2010');
execFileSync(process.env['CC'] ?? 'cc', [
  ...['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE', '-o', lyon],
  join(root, 'test/end-to-end/drivers/lyon2010.c'),
]);

const MACHINE = ['--abi', 'lyon2010', '--sim'];
const SAYS = `identity 1234:11e8
write before the domain: -1
bus master at first: 0
INTx: 1
INTx before it is ended: 0
INTx after Command was written: 1
INTx after VFIO_IRQ_EOI: 1
INTx after the eventfd: 1
MSI: 1
locked pages: 2
DMA there and back: 1
locked pages when half of it is unmapped: 0
unmap what went by itself: No such device or address
`;

function record(
  name: string,
  ...words: readonly string[]
): { readonly path: string; readonly stdout: string } {
  const path = join(scratch, `${name}.vtape`);
  const { status, stdout, stderr } = vfiotape('record', '-o', path, ...words);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /nothing lost\n$/);
  return { path, stdout };
}

function rulesOf(path: string): readonly string[] {
  const { stdout } = vfiotape('check', '--format', 'json', path);
  const report = JSON.parse(stdout) as { reports: { findings: { rule: string; severity: string }[] }[] };
  return report.reports.flatMap(({ findings }) =>
    findings.filter(({ severity }) => severity === 'error').map(({ rule }) => rule),
  );
}

test('edu: interrupts, DMA and memory that goes, as the interface has it', LIMIT, () => {
  const { status, stdout, stderr } = vfiotape('run', ...MACHINE, 'edu', '--', lyon, BDF);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, SAYS);
  assert.equal(stderr, '');
});

test('edu: recorded, the trace says what it was; reissued, it is the same session', LIMIT, () => {
  const { path, stdout } = record('edu', ...MACHINE, 'edu', '--', lyon, BDF);
  assert.equal(stdout, SAYS);
  assert.match(vfiotape('info', path).stdout, /modes +lyon2010, .* simulated backend/);
  const dump = vfiotape('dump', path).stdout;
  for (const line of [
    /open \/dev\/vfio0 O_RDWR/,
    /VFIO_DOMAIN_SET fd=\d+ = 0/,
    /VFIO_BAR_LEN bar=BAR0 -> length=0x100000 = 0/,
    /VFIO_IRQ_EOI = 0/,
    /VFIO_EVENTFDS_MSI count=1 fds=\[\d+\] = 0/,
    /VFIO_DMA_MAP_IOVA .*dmaaddr=0x100000 size=8K flags=WRITE = 0/,
    /VFIO_DMA_UNMAP .* = -1 ENXIO/,
  ])
    assert.match(dump, line);
  const replay = vfiotape('replay', '--on', 'sim:edu', path);
  assert.equal(replay.status, 0, replay.stdout + replay.stderr);
  assert.match(replay.stdout, /no divergence/);
  assert.doesNotMatch(replay.stdout, /left out/);
  // What it did on purpose is found, and nothing else is an error.
  assert.deepEqual([...new Set(rulesOf(path))].sort(), ['LYON-001']);
});

test('memory that is mapped for DMA: the mapping goes when its pages do, or are to be copied', LIMIT, () => {
  const says = `a fork, private memory: No such device or address
a fork, shared memory: kept
a fork, MADV_DONTFORK: kept
system: kept
mprotect: No such device or address
mprotect to what it is: kept
MADV_DONTNEED: No such device or address
MADV_SEQUENTIAL: kept
`;
  const { status, stdout, stderr } = vfiotape('run', ...MACHINE, 'edu', '--', lyon, '--memory', BDF);
  assert.equal(status, 0, stderr);
  assert.ok(stdout.endsWith(says), stdout);
  assert.ok(record('memory', ...MACHINE, 'edu', '--', lyon, '--memory', BDF).stdout.endsWith(says));
});

test('what only the posting of June 2010 had is refused, and found', LIMIT, () => {
  const { path, stdout } = record('june', ...MACHINE, 'edu', '--', lyon, '--june', BDF);
  assert.match(stdout, /^VFIO_DMA_MASK: Inappropriate ioctl for device$/m);
  assert.match(stdout, /^VFIO_DMA_MAP_ANYWHERE: Inappropriate ioctl for device$/m);
  assert.ok(rulesOf(path).includes('DMA-003'));
  assert.match(vfiotape('replay', '--on', 'sim:edu', path).stdout, /no divergence/);
});

const DIALECTS = [
  ['lyon2010', [...MACHINE, 'nvme'], ['--lyon2010']],
  ['type 1', ['--sim', 'nvme'], []],
  ['iommufd', ['--sim', 'nvme'], ['--cdev']],
] as const;

/** ASQ and ACQ: an iommufd chooses the IOVA, the driver does in the other dialects. */
const ADDRESSES: ReadonlySet<string> = new Set(['0x28', '0x30']);

for (const irq of ['polled', 'msix']) {
  test(`examples/nvme, ${irq}: in all dialects the device ends up alike, and replays alike`, LIMIT, () => {
    const outputs = DIALECTS.map(([name, machine, words]) => {
      const title = `${name.replace(' ', '')}-${irq}`;
      const { path, stdout } = record(title, ...machine, '--', nvme, ...words, '--irq', irq, BDF);
      const stores = vfiotape('dump', '--filter', 'kind=store', '--json', path)
        .stdout.trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { region: string; offset: string; value: string })
        .map(({ region, offset, value }) => `${region}+${offset}=${ADDRESSES.has(offset) ? 'iova' : value}`);
      assert.deepEqual(rulesOf(path), [], name);
      // Queues in memory are not in a trace: interrupts of commands that a replay can't see do not come.
      const { stdout: replayed } = vfiotape('replay', '--on', 'sim:nvme', path);
      assert.match(replayed, irq === 'polled' ? /no divergence/ : /^ {2}6 interrupt$/m);
      assert.doesNotMatch(replayed, /left out/);
      return { stdout, stores };
    });
    const [first, ...others] = outputs;
    for (const other of others) assert.deepEqual(other, first);
  });
}

test('a device whose MSI-X table shares its pages is refused before the driver starts', LIMIT, () => {
  const file = join(scratch, 'crooked.json');
  const card = {
    vendor: '0x1af4',
    device: '0x1110',
    class: '0xff0000',
    bars: [{ size: '0x4000' }],
    msix: { bar: 0, vectors: 4, table: '0x2000', pba: '0x3000' },
    functionLevelReset: true,
    registers: [{ bar: 0, offset: '0x2800', width: 4 }],
  };
  writeFileSync(file, JSON.stringify(card));
  const refused = vfiotape('run', ...MACHINE, `generic:${file}`, '--', lyon, BDF);
  assert.equal(refused.status, 2);
  assert.match(
    refused.stderr,
    /^vfiotape: --abi lyon2010: 0000:00:04\.0 is not well-behaved, .* shares a page with other registers\n$/,
  );
});

test('a device that can not be reset is not opened', LIMIT, () => {
  const file = join(scratch, 'unresettable.json');
  const card = { vendor: 1, device: 2, class: 0, bars: [{ size: '0x1000' }] };
  writeFileSync(file, JSON.stringify(card));
  const { status, stderr } = vfiotape('run', ...MACHINE, `generic:${file}`, '--', lyon, BDF);
  assert.equal(status, 1);
  assert.match(stderr, /^lyon2010: cannot open \/dev\/vfio0: Inappropriate ioctl for device\n/);
});

test('a driver of today finds nothing on a machine of 2010, and the reverse', LIMIT, () => {
  const today = vfiotape('run', ...MACHINE, 'nvme', '--', nvme, BDF);
  assert.equal(today.status, 1);
  assert.match(today.stderr, /^nvme: cannot find the device's IOMMU group/);
  const old = vfiotape('run', '--sim', 'nvme', '--', nvme, '--lyon2010', BDF);
  assert.equal(old.status, 1);
  assert.match(old.stderr, /^nvme: cannot find the device's node \(the VFIO of 2010/);
});
