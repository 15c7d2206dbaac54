// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NVME_DEVICE, nvmeConfig, RecordedSession } from '../../../session/fixtures.js';
import { ObjectKind } from '../../../traces/model.js';
import { judge } from '../../check/fixtures.js';
import { CFG_001 } from './cfg-001-bars-are-virtual.js';
import { CFG_002 } from './cfg-002-ids.js';
import { CFG_003 } from './cfg-003-dropped-writes.js';
import { CFG_004 } from './cfg-004-raw-writes.js';
import { CFG_005 } from './cfg-005-shape.js';
import { CFG_006 } from './cfg-006-command-rmw.js';
import { CFG_007 } from './cfg-007-memory-enable.js';
import { CFG_008 } from './cfg-008-pointless.js';
import { CFG_009 } from './cfg-009-power.js';
import { CFG_010 } from './cfg-010-around-vfio.js';
import { CFG_011 } from './cfg-011-walk.js';

function nvme(definition: Parameters<RecordedSession['openNvme']>[0] = {}) {
  const s = new RecordedSession();
  return { s, ...s.openNvme(definition) };
}

test('CFG-001: a BAR that is moved', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x10, 4, 0xe000_0000);
  assert.deepEqual(await judge(CFG_001, s), ['fail', `warning 0x10 another value @${at}`]);
});

test('CFG-001: BARs that are looked at, and the registers beside them', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0x10, 4, 0xfebf_0004)
    .configWrite(device, 0x0c, 1, 0x10)
    .configWrite(device, 0x3c, 1, 11);
  assert.deepEqual(await judge(CFG_001, s), ['pass']);
});

test('CFG-001: sizing and restoring are notes, a monitor is not asked', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x10, 4, 0xffff_ffff).configRead(device, 0x10, 4, 0xfebf_0004);
  s.configWrite(device, 0x10, 4, 0xfebf_0004).configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(CFG_001, s), [
    'note',
    `note 0x10 the sizing idiom @${at}`,
    `note 0x10 what it held @${at + 2}`,
  ]);
  assert.deepEqual(await judge(CFG_001, s, { profile: 'vmm' }), ['off']);
});

test('CFG-002: a write, and an id that sysfs does not have', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0, 4, 0x1234_5678).configRead(device, 0, 4, 0x0010_1b37);
  assert.deepEqual(await judge(CFG_002, s), ['fail', `warning write @${at}`, `error vendor @${at + 1}`]);
});

test('CFG-002: the ids of sysfs, or of a device that is gone', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0, 4, 0x0010_1b36)
    .configRead(device, 2, 2, 0x0010)
    .configRead(device, 0, 4, 0xffff_ffff);
  assert.deepEqual(await judge(CFG_002, s), ['pass']);
});

test('CFG-003: a payload size that the device will not have', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0x88, 2, 0x2810);
  const at = s.next;
  s.configWrite(device, 0x88, 2, 0x2850);
  assert.deepEqual(await judge(CFG_003, s), ['fail', `warning PCIe.DevCtl 0x40 @${at}`]);
});

test('CFG-003: read back, it is a note; what is unchanged or passed on is nothing', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0x88, 2, 0x2810);
  const at = s.next;
  s.configWrite(device, 0x88, 2, 0x2850).configRead(device, 0x88, 2, 0x2850);
  assert.deepEqual(await judge(CFG_003, s), ['note', `note PCIe.DevCtl 0x40 @${at}`]);
  const fine = nvme();
  fine.s.configRead(fine.device, 0x88, 2, 0x2810).configWrite(fine.device, 0x88, 2, 0x5810);
  fine.s.configRead(fine.device, 4, 4, 0x0010_0002).configWrite(fine.device, 4, 4, 0x0010_0406);
  assert.deepEqual(await judge(CFG_003, fine.s), ['pass']);
});

test('CFG-003: the power state and a function level reset are acted on', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x44, 2, 0x000b).configWrite(device, 0x44, 2, 0x0008);
  s.configRead(device, 0x88, 2, 0x2810).configWrite(device, 0x88, 2, 0xa810);
  assert.deepEqual(await judge(CFG_003, s), ['pass']);
});

test('CFG-003: in 2010 the payload size reached the device, and a vendor’s capability did not', async () => {
  const config = nvmeConfig();
  config[0x81] = 0xc0;
  config.set([0x09, 0x00, 0x10], 0xc0);
  const s = new RecordedSession();
  const device = s.openLyon({ config });
  s.configRead(device, 0x88, 2, 0x2810).configWrite(device, 0x88, 2, 0x2850);
  assert.deepEqual(await judge(CFG_003, s), ['pass']);
  const at = s.configRead(device, 0xc4, 1, 0).next;
  s.configWrite(device, 0xc4, 1, 1);
  assert.deepEqual(await judge(CFG_003, s), ['fail', `warning config+0xc4 0x1 @${at}`]);
  assert.deepEqual(await judge(CFG_004, s), ['off']);
});

test('CFG-004: bytes of no capability, and of a vendor’s', async () => {
  const config = nvmeConfig();
  config[0x81] = 0xc0;
  config.set([0x09, 0x00, 0x10], 0xc0);
  const { s, device } = nvme({ config });
  const at = s.next;
  s.configWrite(device, 0xe0, 4, 1).configWrite(device, 0xc4, 4, 1);
  const [status, first] = await judge(CFG_004, s);
  assert.deepEqual([status, first], ['note', `note config+0xe0 @${at}`]);
});

test('CFG-004: registers of capabilities, and virtio’s window', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x88, 2, 0x2810).configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(CFG_004, s), ['pass']);
  const config = nvmeConfig();
  config.set([0x09, 0x70, 0x14, 0x05], 0x50);
  const virtio = nvme({ vendor: 0x1af4, device: 0x1041, classCode: 0x020000, config });
  virtio.s.configWrite(virtio.device, 0x54, 4, 1);
  assert.deepEqual(await judge(CFG_004, virtio.s), ['pass']);
});

test('CFG-005: past the end, in pieces', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configRead(device, 0x1000, 4, 0, 14);
  s.configRead(device, 0, 16, new Uint8Array(16)).configRead(device, 0x41, 2, 0);
  assert.deepEqual(await judge(CFG_005, s), [
    'fail',
    `error read EFAULT @${at}`,
    `note read 16 @${at + 1}`,
    `note read 2 @${at + 2}`,
  ]);
});

test('CFG-005: registers', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0, 4, 0).configRead(device, 0x34, 1, 0x40).configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(CFG_005, s), ['pass']);
});

test('CFG-005: a device that is not bound yet answers nothing, whatever is asked', async () => {
  const s = new RecordedSession();
  s.configRead(s.openCdev(), 0, 4, 0, 22);
  assert.doesNotMatch((await judge(CFG_005, s)).join(), /fail/);
});

test('CFG-006: bus mastering on, memory off', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 4, 2, 0x0004);
  assert.deepEqual(await judge(CFG_006, s), ['fail', `error Command @${at}`]);
});

test('CFG-006: read by another thread, or long ago, is not read', async () => {
  const other = nvme();
  other.s.configRead(other.device, 4, 2, 0x0002).thread(2);
  const at = other.s.next;
  other.s.configWrite(other.device, 4, 2, 0x0004);
  assert.deepEqual(await judge(CFG_006, other.s), ['fail', `error Command @${at},${at - 1}`]);
  const late = nvme();
  late.s.configRead(late.device, 4, 2, 0x0002).after(2e9);
  const then = late.s.next;
  late.s.configWrite(late.device, 4, 2, 0x0004);
  assert.deepEqual(await judge(CFG_006, late.s), ['fail', `error Command @${then},${then - 1}`]);
});

test('CFG-006: read, changed, written; all bits at once; SPDK’s 32 bits; off on purpose', async () => {
  const { s, device } = nvme();
  s.configRead(device, 4, 2, 0x0002).configWrite(device, 4, 2, 0x0006).after(5e9);
  s.configWrite(device, 4, 2, 0x0406).configWrite(device, 4, 4, 0x0010_0406);
  s.configRead(device, 4, 2, 0x0406).configWrite(device, 4, 2, 0x0400);
  assert.deepEqual(await judge(CFG_006, s), ['pass']);
});

test('CFG-007: a load with memory decoding off', async () => {
  const { s, device } = nvme();
  s.configRead(device, 4, 2, 0x0006).configWrite(device, 4, 2, 0x0004);
  const at = s.next;
  s.load(device, 0, 0x1c, 4, 0).regionRead(device, 0, 0, 4, 0, 5);
  assert.deepEqual(await judge(CFG_007, s), ['fail', `error load BAR0 @${at}`, `error read BAR0 @${at + 1}`]);
});

test('CFG-007: on again, a virtual function, an I/O BAR', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 4, 2, 0).configWrite(device, 4, 2, 2).load(device, 0, 0x1c, 4, 0);
  assert.deepEqual(await judge(CFG_007, s), ['pass']);
  const config = nvmeConfig();
  config.fill(0xff, 0, 4);
  const vf = nvme({ config });
  vf.s.configWrite(vf.device, 4, 2, 4).load(vf.device, 0, 0x1c, 4, 0);
  assert.deepEqual(await judge(CFG_007, vf.s), ['pass']);
  const io = nvme({ resources: [{ index: 0, size: 0x100n, flags: 0x4_0101n }] });
  io.s.configWrite(io.device, 4, 2, 1).regionRead(io.device, 0, 0, 4, 0);
  assert.deepEqual(await judge(CFG_007, io.s), ['pass']);
});

test('CFG-008: habits of conventional PCI', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x3c, 1, 11).configWrite(device, 0x0c, 1, 16);
  assert.deepEqual(await judge(CFG_008, s), [
    'note',
    `note Interrupt Line @${at}`,
    `note Cache Line Size @${at + 1}`,
  ]);
});

test('CFG-008: what it held', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0x3c, 1, 11).configWrite(device, 0x3c, 1, 11);
  assert.deepEqual(await judge(CFG_008, s), ['pass']);
});

test('CFG-009: asleep', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x44, 2, 0x000b);
  assert.deepEqual(await judge(CFG_009, s), ['fail', `warning D3hot @${at}`]);
});

test('CFG-009: the state that it is in', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x44, 2, 0x0008);
  assert.deepEqual(await judge(CFG_009, s), ['pass']);
});

const SYSFS = '/sys/bus/pci/devices/0000:00:04.0';

test('CFG-010: config and a resource opened for writing past VFIO', async () => {
  const { s } = nvme();
  const at = s.next;
  s.open(ObjectKind.SYSFS, `${SYSFS}/config`);
  s.open(ObjectKind.SYSFS, `${SYSFS}/resource0`);
  assert.deepEqual(await judge(CFG_010, s), [
    'fail',
    `warning config @${at}`,
    `warning resource0 @${at + 1}`,
  ]);
});

test('CFG-010: before it is opened, after it is closed, refused, another device, and reading', async () => {
  const s = new RecordedSession();
  s.open(ObjectKind.SYSFS, `${SYSFS}/reset`);
  const { device } = s.openNvme();
  s.open(ObjectKind.SYSFS, '/sys/bus/pci/devices/0000:00:05.0/reset');
  s.open(ObjectKind.SYSFS, `${SYSFS}/config`, { flags: 0o2000000 });
  s.open(ObjectKind.SYSFS, `${SYSFS}/config`, { errno: 13 });
  s.close(device);
  s.open(ObjectKind.SYSFS, `${SYSFS}/config`);
  assert.deepEqual(await judge(CFG_010, s), ['pass']);
});

test('CFG-011: an offset known by heart', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x88, 2, 0x2810);
  assert.deepEqual(await judge(CFG_011, s), ['fail', `warning PCIe @${at}`]);
});

test('CFG-011: walked, or read in one piece', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0x34, 1, 0x40).configRead(device, 0x40, 2, 0x5001).configRead(device, 0x80, 2, 0x0010);
  s.configWrite(device, 0x88, 2, 0x2810);
  assert.deepEqual(await judge(CFG_011, s), ['pass']);
  const dump = nvme();
  dump.s
    .configRead(dump.device, 0, 256, NVME_DEVICE.config.slice())
    .configWrite(dump.device, 0x88, 2, 0x2810);
  assert.deepEqual(await judge(CFG_011, dump.s), ['pass']);
});
