// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVM } from '../../abi/object-kinds.js';
import { type Opened, RecordedSession } from '../../session/fixtures.js';
import { CLN_002 } from '../rules/cleanup/cln-002-interrupts-off.js';
import { CLN_006 } from '../rules/cleanup/cln-006-every-exit.js';
import { DMA_003 } from '../rules/dma/dma-003-explicit-bus-master.js';
import { DMA_007 } from '../rules/dma/dma-007-sensible-size.js';
import { DMA_015 } from '../rules/dma/dma-015-unmap-before-munmap.js';
import { LIF_003 } from '../rules/lifecycle/lif-003-order.js';
import { RST_002 } from '../rules/lifecycle/rst-002-reset-at-close.js';
import { check } from './check.js';
import { judge } from './fixtures.js';
import { detectProfile } from './profile.js';

async function profileOf(s: RecordedSession) {
  const trace = await s.trace();
  try {
    return detectProfile(trace.definitions);
  } finally {
    trace.close();
  }
}

test('who is who', async () => {
  const driver = new RecordedSession();
  driver.openNvme();
  assert.equal(await profileOf(driver), 'driver');
  const monitor = new RecordedSession();
  monitor.open(KVM, '/dev/kvm');
  assert.equal(await profileOf(monitor), 'vmm');
  assert.equal(await profileOf(new RecordedSession({}, '/usr/bin/qemu-system-x86_64')), 'vmm');
  assert.equal(await profileOf(new RecordedSession({}, '/t/vfio_dma_mapping_test')), 'test');
  const old = new RecordedSession();
  old.openLyon();
  assert.equal(await profileOf(old), 'lyon2010');
});

/** A device of 2010, running: bus master, with memory, MSI-X and a queue. */
function lyon() {
  const s = new RecordedSession();
  const device = s.openLyon();
  map(s, device, 0x10_0000n);
  s.configWrite(device, 4, 2, 0x0406);
  return { s, device };
}

function map(s: RecordedSession, device: Opened, size: bigint): void {
  const before = new Uint8Array(32);
  const view = new DataView(before.buffer);
  [0x7f80_0000_0000n, 0x10_0000n, size, 1n].forEach((value, i) => {
    view.setBigUint64(i * 8, value, true);
  });
  s.ioctl(device, 'VFIO_DMA_MAP_IOVA', { before });
}

test('lyon2010: nothing is reset at close, so the driver must make it quiet: an error, not a warning', async () => {
  const closed = lyon();
  const at = closed.s.next;
  closed.s.close(closed.device);
  assert.deepEqual(await judge(RST_002, closed.s), ['fail', `error close @${at},${at - 1}`]);
  const exits = lyon();
  exits.s.exit();
  assert.deepEqual(await judge(CLN_006, exits.s), ['fail', `error not resettable @${at},${at - 1}`]);
  const quiet = lyon();
  quiet.s.configWrite(quiet.device, 4, 2, 0x0402).close(quiet.device);
  assert.deepEqual(await judge(RST_002, quiet.s), ['pass']);
});

test('lyon2010: more than 1 GiB at once is an error, less passes', async () => {
  const { s, device } = lyon();
  map(s, device, 2n << 30n);
  assert.deepEqual(await judge(DMA_007, s), ['fail', `error more than 1 GiB @${s.next - 1}`]);
  assert.deepEqual(await judge(DMA_007, lyon().s), ['pass']);
});

test('lyon2010: the calls of the first drafts are errors, and DMA-015 is milder: the kernel unmapped by itself', async () => {
  const { s, device } = lyon();
  s.ioctl(device, 'VFIO_DMA_MASK', { before: new Uint8Array(8) });
  assert.deepEqual(await judge(DMA_003, s), ['fail', `error VFIO_DMA_MASK @${s.next - 1}`]);
  const away = lyon();
  away.s.store(away.device, 0, 0x14, 4, 0x0046_0001).unmap(0x7f80_0000_0000n, 0x10_0000n);
  assert.deepEqual(await judge(DMA_015, away.s), ['note', `note munmap @${away.s.next - 1}`]);
});

test('lyon2010: its interrupts are the state’s interrupts; rules of today’s calls are off', async () => {
  const { s, device } = lyon();
  const eventfd = s.eventfd();
  const before = new Uint8Array(new Int32Array([1, eventfd.fd]).buffer);
  s.ioctl(device, 'VFIO_EVENTFDS_MSIX', { before });
  const trace = await s.trace();
  try {
    const { profile, verdicts } = check(trace);
    assert.equal(profile, 'lyon2010');
    assert.equal(verdicts.find(({ rule }) => rule.id === 'LIF-003')?.status, 'off');
  } finally {
    trace.close();
  }
  s.close(device);
  assert.deepEqual(await judge(CLN_002, s), ['note', `note msix @${s.next - 1},${s.next - 2}`]);
  assert.deepEqual(await judge(LIF_003, s), ['off']);
});
