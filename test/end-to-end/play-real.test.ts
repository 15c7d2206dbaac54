// SPDX-License-Identifier: Apache-2.0
// `play`: recordings of a real kernel's devices, to the programs that made them and to ones that do something else.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, vfiotape } from './harness.js';
import { edu, nvme, patched } from './played.js';
import { LIMIT, missing } from './simulated.js';

test(
  'a recording of a real kernel plays registers and interrupts, until the driver looks at its memory',
  LIMIT,
  () => {
    const recorded = join(root, 'traces/corpus/edu/group.vtape');
    const played = vfiotape('play', recorded, '--', edu, '0000:00:0a.0');
    assert.equal(played.status, 1);
    assert.match(
      played.stdout,
      /^interrupt of factorial: status 0x1, 1 time\(s\)\nfactorial of 10: 3628800$/m,
    );
    assert.match(played.stdout, /^interrupt of DMA from the device: status 0x100, 1 time\(s\)$/m);
    assert.match(played.stderr, /^edu: cannot get back what was sent/m);
    assert.match(played.stderr, / 0 bytes of DMA, 4 interrupts, 1 departure\n.*the driver ended before it\n/);
  },
);

/** Recorded in the lab, on a real kernel, with what was in memory; played where there is no such device. */
const ofReal = (name: string): string => join(root, `traces/corpus/${name}.vtape`);
const LAB_BDF = '0000:00:03.0';
const LAB_DISK = `nvme://${LAB_BDF}/1`;

test(
  'a session on a real kernel is played to the unmodified driver: writes, reads and interrupts',
  LIMIT,
  () => {
    const trace = ofReal('example/nvme-content');
    const { status, stdout, stderr } = vfiotape('play', trace, '--', nvme, '--irq', 'msix', LAB_BDF);
    assert.equal(status, 0, stderr);
    // On a busy machine it may have got one that it did not wait for any more.
    assert.match(stdout, /^interrupts: (1[3-9]|[2-9]\d)$/m);
    assert.match(
      stdout,
      /^data: 16384 bytes written, flushed, read back and equal; the old blocks are there again$/m,
    );
    assert.match(stderr, / interrupts, no departure\n$/);
  },
);

test('and a driver that was changed is stopped at the command that is another one', LIMIT, () => {
  const other = patched('namespace', ['{ .opcode = FLUSH, .nsid = 1 }', '{ .opcode = FLUSH, .nsid = 2 }']);
  const trace = ofReal('example/nvme-content');
  const { status, stderr } = vfiotape('play', trace, '--', other, '--irq', 'msix', LAB_BDF);
  assert.equal(status, 1);
  assert.match(stderr, /the device finds other memory than it found\n.*expected .*dma-fill 0x/);
});

test('qemu-img info of a real kernel’s drive', { ...LIMIT, skip: missing('qemu-img') }, () => {
  const trace = ofReal('qemu/img-info-content');
  const { status, stdout, stderr } = vfiotape('play', trace, '--', 'qemu-img', 'info', LAB_DISK);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^virtual size: 64 MiB \(67108864 bytes\)$/m);
  assert.match(stderr, /, no departure\n$/);
});

test('qemu-io read of its blocks, and of another', { ...LIMIT, skip: missing('qemu-io') }, () => {
  const trace = ofReal('qemu/io-content');
  const read = (first: string): string[] => [
    ...['qemu-io', '-f', 'raw', '-c', `read -v ${first} 8k`, '-c', 'read -v 1M 512', LAB_DISK],
  ];
  const same = vfiotape('play', trace, '--', ...read('0'));
  assert.equal(same.status, 0, same.stderr);
  assert.match(same.stdout, /^00000000: {2}b8 c0 07 8e d8 31 c0 8e /m, 'the lab’s boot sector');
  assert.match(same.stdout, /^000001f0: .* 55 aa /m);
  assert.match(same.stdout, /^read 8192\/8192 bytes at offset 0$/m);
  const other = vfiotape('play', trace, '--', ...read('64k'));
  assert.equal(other.status, 1);
  // SLBA, at byte 40 of the command.
  assert.match(other.stderr, /the device finds other memory than it found\n/);
  assert.match(other.stderr, /got {7}memory at 0x[0-9a-f]+28 holds 80000000/);
});
