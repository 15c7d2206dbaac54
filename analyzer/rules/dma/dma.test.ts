// SPDX-License-Identifier: Apache-2.0
// Bus mastering, and what the controller was told: DMA-001 to DMA-005, DMA-019, DMA-020.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Opened, RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { DMA_001 } from './dma-001-bus-master-when-ready.js';
import { DMA_002 } from './dma-002-stop-before-unmap.js';
import { DMA_003 } from './dma-003-explicit-bus-master.js';
import { DMA_004 } from './dma-004-live-addresses.js';
import { DMA_005 } from './dma-005-unmapped-in-use.js';
import { DMA_019 } from './dma-019-detach-quiet.js';
import { DMA_020 } from './dma-020-shared-container.js';

const MIB = 0x10_0000n;

function nvme() {
  const s = new RecordedSession();
  return { s, ...s.openNvme() };
}

function master(s: RecordedSession, device: Opened, on = true): number {
  s.configWrite(device, 4, 2, on ? 0x0406 : 0x0402);
  return s.next - 1;
}

/** Queues at 0 (submission) and 0x1000 (completion), and the controller enabled. */
function start(s: RecordedSession, device: Opened, asq = 0n, acq = 0x1000n) {
  s.store(device, 0, 0x24, 4, 0x001f_001f);
  const addresses = s.next;
  s.store(device, 0, 0x28, 8, asq).store(device, 0, 0x30, 8, acq);
  const enabled = s.next;
  s.store(device, 0, 0x14, 4, 0x0046_0001);
  return { addresses, enabled };
}

/** A drive that is at work: 1 MiB at 0, bus master, enabled. */
function running(definition: Parameters<RecordedSession['openNvme']>[0] = {}) {
  const s = new RecordedSession();
  const opened = s.openNvme(definition);
  s.mapDma(opened.container, { iova: 0n, size: MIB });
  const mastered = master(s, opened.device);
  return { s, ...opened, mastered, ...start(s, opened.device) };
}

test('DMA-001: bus mastering before anything is mapped', async () => {
  const { s, device } = nvme();
  const at = master(s, device);
  assert.deepEqual(await judge(DMA_001, s), ['note', `note nothing mapped @${at}`]);
});

test('DMA-001: and nothing had reset it', async () => {
  const s = new RecordedSession();
  const container = s.container();
  const group = s.group();
  s.setContainer(group, container).setIommu(container);
  const device = s.getDevice(group);
  const info = s.next;
  s.deviceInfo(device, 2);
  const at = master(s, device);
  assert.deepEqual(await judge(DMA_001, s), ['fail', `warning nothing mapped, never reset @${at},${info}`]);
});

test('DMA-001: before the device is attached', async () => {
  const s = new RecordedSession();
  const iommufd = s.iommufd();
  const device = s.openCdev();
  s.bind(device, iommufd).deviceInfo(device);
  const at = master(s, device);
  assert.deepEqual(await judge(DMA_001, s), ['fail', `error no address space @${at}`]);
});

test('DMA-001: mapped first, whichever of the devices it was mapped for', async () => {
  const { s } = running();
  assert.deepEqual(await judge(DMA_001, s), ['pass']);
  const second = running();
  const other = second.s.getDevice(second.group, { bdf: '0000:00:05.0' });
  master(second.s, other);
  assert.deepEqual(await judge(DMA_001, second.s), ['pass']);
});

test('DMA-001: QEMU, ixy and libvfn set it first thing: never more than a note; a monitor passes on its guest', async () => {
  const { s, container, device } = nvme();
  master(s, device);
  s.mapDma(container, { iova: 0n, size: MIB });
  start(s, device);
  const [status] = await judge(DMA_001, s);
  assert.equal(status, 'note');
  assert.deepEqual(await judge(DMA_001, s, { profile: 'vmm' }), ['off']);
});

test('DMA-001: DPDK sets it and resets the device then: a note', async () => {
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB });
  const at = master(s, device);
  s.reset(device);
  assert.deepEqual(await judge(DMA_001, s), ['note', `note before the reset @${at},${at + 1}`]);
});

test('DMA-001: a device that never masters is not judged', async () => {
  assert.deepEqual(await judge(DMA_001, nvme().s), ['not applicable']);
});

test('DMA-002: the queues are unmapped under a running controller, and then all is closed', async () => {
  const { s, container, device, addresses } = running();
  const at = s.next;
  s.unmapDma(container, { iova: 0n, size: MIB }).close(device);
  assert.deepEqual(await judge(DMA_002, s), [
    'fail',
    `warning unmapped ASQ @${at},${addresses}`,
    `warning unmapped ACQ @${at},${addresses + 1}`,
  ]);
});

test('DMA-002: stopped by its enable bit, by a reset, or by bus mastering', async () => {
  const disabled = running();
  disabled.s
    .store(disabled.device, 0, 0x14, 4, 0x0046_0000)
    .unmapDma(disabled.container, { iova: 0n, size: MIB });
  disabled.s.close(disabled.device);
  assert.deepEqual(await judge(DMA_002, disabled.s), ['pass']);
  const reset = running();
  reset.s.reset(reset.device).unmapDma(reset.container, { iova: 0n, size: MIB }).close(reset.device);
  const verdict = await judge(DMA_002, reset.s);
  assert.deepEqual(
    verdict.filter((line) => line.includes('unmapped')),
    [],
  );
  const unmastered = running();
  master(unmastered.s, unmastered.device, false);
  unmastered.s.unmapDma(unmastered.container, { iova: 0n, size: MIB }).close(unmastered.device);
  assert.deepEqual(await judge(DMA_002, unmastered.s), ['pass']);
});

test('DMA-002: just closed, with its memory mapped: a note; an exit is none', async () => {
  const closed = running();
  const at = closed.s.next;
  closed.s.close(closed.device);
  assert.deepEqual(await judge(DMA_002, closed.s), ['note', `note closed @${at}`]);
  const exits = running();
  exits.s.exit();
  assert.deepEqual(await judge(DMA_002, exits.s), ['pass']);
});

test('DMA-002: memory that is mapped for one command and unmapped after it holds no queue', async () => {
  const { s, container, device } = running();
  for (let n = 0; n < 4; n++) {
    s.mapDma(container, { iova: 0x100_0000n, size: 0x1000n }).store(device, 0, 0x1000, 4, n + 1);
    s.unmapDma(container, { iova: 0x100_0000n, size: 0x1000n });
  }
  s.store(device, 0, 0x14, 4, 0x0046_0000).close(device);
  assert.deepEqual(await judge(DMA_002, s), ['pass']);
  assert.deepEqual(await judge(DMA_005, s), ['pass']);
});

test('DMA-003: a controller with queues, and bus mastering that never was', async () => {
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB });
  const { enabled } = start(s, device);
  const at = s.next;
  s.close(device);
  assert.deepEqual(await judge(DMA_003, s), ['fail', `warning never bus master @${enabled},${at}`]);
});

test('DMA-003: a request of 2010 on a device of today', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.event({ kind: 7, object: device.object, fd: device.fd, op: 0x40083b67, result: -1n, errno: 25 });
  assert.deepEqual(await judge(DMA_003, s), ['fail', `error VFIO_DMA_MASK @${at}`]);
});

test('DMA-003: the feature that is for CDX devices', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.feature(device, 10, 25);
  assert.deepEqual(await judge(DMA_003, s), ['note', `note FEATURE_BUS_MASTER @${at}`]);
});

test('DMA-003: bus mastering by a write, before or after the enabling; a device that is told no address', async () => {
  const before = running();
  before.s.close(before.device);
  assert.deepEqual(await judge(DMA_003, before.s), ['pass']);
  const after = nvme();
  start(after.s, after.device);
  master(after.s, after.device);
  after.s.close(after.device);
  assert.deepEqual(await judge(DMA_003, after.s), ['pass']);
  const polled = nvme();
  polled.s.store(polled.device, 0, 0x14, 4, 1).close(polled.device);
  assert.deepEqual(await judge(DMA_003, polled.s), ['pass']);
});

test('DMA-004: the process’s own address', async () => {
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB, vaddr: 0x7f80_0000_0000n });
  const { addresses, enabled } = start(s, device, 0x7f80_0000_0000n);
  assert.deepEqual(await judge(DMA_004, s), ['fail', `error ASQ @${enabled},${addresses}`]);
});

test('DMA-004: the queue’s end lies outside, or it may not be written', async () => {
  const end = nvme();
  end.s
    .mapDma(end.container, { iova: 0n, size: 0x2000n })
    .mapDma(end.container, { iova: 0x3000n, size: 0x1000n });
  end.s.store(end.device, 0, 0x24, 4, 0x001f_007f);
  const at = end.s.next;
  // 128 entries of 64 bytes from 0x1000 on reach into the hole at 0x2000.
  end.s.store(end.device, 0, 0x28, 8, 0x1000n).store(end.device, 0, 0x30, 8, 0x3000n);
  end.s.store(end.device, 0, 0x14, 4, 0x0046_0001);
  assert.deepEqual(await judge(DMA_004, end.s), ['fail', `error ASQ @${at + 2},${at}`]);
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB, flags: 1 });
  const { addresses, enabled } = start(s, device);
  assert.deepEqual(await judge(DMA_004, s), ['fail', `error ACQ @${enabled},${addresses + 1}`]);
});

test('DMA-004: IOVA 0 is an address, halves are not judged, nothing is held against physical addresses', async () => {
  assert.deepEqual(await judge(DMA_004, running().s), ['pass']);
  const halves = nvme();
  halves.s.mapDma(halves.container, { iova: 0x1_0000_0000n, size: MIB });
  halves.s.store(halves.device, 0, 0x24, 4, 0x001f_001f);
  for (const register of [0x28, 0x30])
    halves.s.store(halves.device, 0, register, 4, 0).store(halves.device, 0, register + 4, 4, 1);
  halves.s.store(halves.device, 0, 0x14, 4, 0x0046_0001);
  assert.deepEqual(await judge(DMA_004, halves.s), ['pass']);
  const s = new RecordedSession();
  const container = s.container();
  const group = s.group();
  s.setContainer(group, container).setIommu(container, 8n);
  start(s, s.getDevice(group), 0x1234_5000n, 0x1234_6000n);
  assert.deepEqual(await judge(DMA_004, s), ['not applicable']);
});

test('DMA-005: unmapped, and the doorbells go on', async () => {
  const { s, container, device, addresses } = running();
  const at = s.next;
  s.unmapDma(container, { iova: 0x1000n, size: 0x1000n }).store(device, 0, 0x1000, 4, 1);
  s.store(device, 0, 0x1000, 4, 2);
  assert.deepEqual(await judge(DMA_005, s), ['fail', `error ACQ @${at + 1},${at},${addresses + 1}`]);
  assert.deepEqual(await judge(DMA_002, s), ['pass']);
});

test('DMA-005: the doorbell through the descriptor; the same memory mapped again before it', async () => {
  const { s, container, device, addresses } = running();
  const at = s.next;
  s.unmapDma(container, { iova: 0n, size: MIB }).regionWrite(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_005, s), [
    'fail',
    `error ASQ @${at + 1},${at},${addresses}`,
    `error ACQ @${at + 1},${at},${addresses + 1}`,
  ]);
  const again = running();
  again.s.unmapDma(again.container, { iova: 0n, size: MIB }).mapDma(again.container, { iova: 0n, size: MIB });
  again.s.store(again.device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_005, again.s), ['pass']);
});

test('DMA-005: disabled first, and set up anew', async () => {
  const { s, container, device } = running();
  s.store(device, 0, 0x14, 4, 0x0046_0000).load(device, 0, 0x1c, 4, 0);
  s.unmapDma(container, { iova: 0n, size: MIB }).mapDma(container, { iova: 0n, size: MIB });
  start(s, device);
  s.store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_005, s), ['pass']);
});

function cdev() {
  const s = new RecordedSession();
  const iommufd = s.iommufd();
  const device = s.openCdev();
  s.bind(device, iommufd).attach(device, 1).deviceInfo(device);
  master(s, device);
  return { s, device };
}

const DETACH = 'VFIO_DEVICE_DETACH_IOMMUFD_PT';

test('DMA-019: detached while it runs, or stored to while it is detached', async () => {
  const enabled = cdev();
  start(enabled.s, enabled.device);
  const at = enabled.s.next;
  enabled.s.ioctl(enabled.device, DETACH);
  assert.deepEqual(await judge(DMA_019, enabled.s), ['fail', `warning detached @${at}`]);
  const { s, device } = cdev();
  s.ioctl(device, DETACH);
  const detached = s.next - 1;
  s.store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_019, s), ['fail', `warning detached @${detached},${detached + 1}`]);
});

test('DMA-019: bus mastering off first, or the table replaced without detaching, or closed then', async () => {
  const quiet = cdev();
  start(quiet.s, quiet.device);
  master(quiet.s, quiet.device, false);
  quiet.s.ioctl(quiet.device, DETACH);
  assert.deepEqual(await judge(DMA_019, quiet.s), ['pass']);
  const replaced = cdev();
  start(replaced.s, replaced.device);
  replaced.s.attach(replaced.device, 2).store(replaced.device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_019, replaced.s), ['not applicable']);
  const closed = cdev();
  closed.s.ioctl(closed.device, DETACH).close(closed.device);
  assert.deepEqual(await judge(DMA_019, closed.s), ['pass']);
});

test('DMA-020: everything goes, and a neighbour is at work', async () => {
  const { s, container, group, mastered } = running();
  const other = s.getDevice(group, { bdf: '0000:00:05.0' });
  const second = master(s, other);
  const at = s.next;
  s.unmapDma(container, { iova: 0n, size: 0n, flags: 2, unmapped: MIB });
  assert.deepEqual(await judge(DMA_020, s), ['fail', `error everything @${at},${mastered},${second}`]);
});

test('DMA-020: alone, or the neighbour is stopped', async () => {
  const alone = running();
  alone.s.unmapDma(alone.container, { iova: 0n, size: 0n, flags: 2, unmapped: MIB });
  assert.deepEqual(await judge(DMA_020, alone.s), ['pass']);
  const { s, container, group } = running();
  const other = s.getDevice(group, { bdf: '0000:00:05.0' });
  master(s, other);
  s.store(other, 0, 0x14, 4, 0).unmapDma(container, { iova: 0n, size: 0n, flags: 2, unmapped: MIB });
  assert.deepEqual(await judge(DMA_020, s), ['pass']);
});
