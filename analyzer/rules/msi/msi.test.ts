// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '../../../abi/layout.js';
import { IOEVENTFD } from '../../../abi/vfio/device.js';
import { nvmeConfig, type Opened, RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { MSI_001 } from './msi-001-config-writes.js';
import { MSI_002 } from './msi-002-msix-control.js';
import { MSI_003 } from './msi-003-table-stores.js';
import { MSI_004 } from './msi-004-pba-stores.js';
import { MSI_005 } from './msi-005-table-by-descriptor.js';
import { MSI_006 } from './msi-006-well-behaved.js';
import { MSI_007 } from './msi-007-table-mappings.js';
import { MSI_008 } from './msi-008-ioeventfd.js';

function nvme(config = nvmeConfig()) {
  const s = new RecordedSession();
  return { s, ...s.openNvme({ config }) };
}

test('MSI-001: address, data and control', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x54, 4, 0xfee0_0000)
    .configWrite(device, 0x5c, 2, 0x4021)
    .configWrite(device, 0x52, 2, 0x0181);
  assert.deepEqual(await judge(MSI_001, s), [
    'fail',
    `error MSI.Address @${at}`,
    `error MSI.Data @${at + 1}`,
    `error MSI.Control @${at + 2}`,
  ]);
});

test('MSI-001: the mask bits, SET_IRQS, and what was there', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x60, 4, 1).setIrqs(device, { index: 1, eventfds: [s.eventfd()] });
  assert.deepEqual(await judge(MSI_001, s), ['pass']);
  const same = nvme();
  const at = same.s.next;
  same.s.configWrite(same.device, 0x52, 2, 0x0180);
  assert.deepEqual(await judge(MSI_001, same.s), ['note', `note MSI.Control unchanged @${at}`]);
});

test('MSI-001: a guest of a monitor may', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x54, 4, 0xfee0_0000);
  assert.deepEqual(await judge(MSI_001, s, { profile: 'vmm' }), ['note', `note MSI.Address @${at}`]);
});

test('MSI-002: MSI-X enabled by hand', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x72, 2, 0x800f);
  assert.deepEqual(await judge(MSI_002, s), ['fail', `error MSIX.Control @${at}`]);
});

test('MSI-002: another register', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(MSI_002, s), ['pass']);
});

test('MSI-003: an entry, and a vector masked by hand', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.store(device, 0, 0x2000, 4, 0xfee0_1000).store(device, 0, 0x200c, 4, 1).store(device, 0, 0x20fc, 8, 1);
  assert.deepEqual(await judge(MSI_003, s), [
    'fail',
    `error entry x2 @${at},${at + 2}`,
    `warning vector control @${at + 1}`,
  ]);
});

test('MSI-003: behind the table, in another BAR, and loads', async () => {
  const { s, device } = nvme();
  s.store(device, 0, 0x2100, 4, 1).store(device, 2, 0x2000, 4, 1).load(device, 0, 0x2000, 4, 0);
  assert.deepEqual(await judge(MSI_003, s), ['pass']);
});

test('MSI-003: where the table is was not recorded', async () => {
  const { s, device } = nvme(nvmeConfig().slice(0, 0x72));
  s.store(device, 0, 0x2000, 4, 1);
  assert.deepEqual(await judge(MSI_003, s), ['unknown']);
});

test('MSI-004: stored to, and written', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.store(device, 0, 0x3000, 8, 0).regionWrite(device, 0, 0x3004, 4, 0);
  assert.deepEqual(await judge(MSI_004, s), ['fail', `error store @${at}`, `error write @${at + 1}`]);
});

test('MSI-004: polled', async () => {
  const { s, device } = nvme();
  s.load(device, 0, 0x3000, 8, 0).store(device, 0, 0x3008, 8, 0);
  assert.deepEqual(await judge(MSI_004, s), ['pass']);
});

test('MSI-005: read and written through the descriptor', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.regionRead(device, 0, 0x2000, 16, new Uint8Array(16).fill(0xff)).regionWrite(device, 0, 0x2000, 4, 1);
  assert.deepEqual(await judge(MSI_005, s), ['fail', `warning read @${at}`, `warning write @${at + 1}`]);
});

test('MSI-005: beside the table', async () => {
  const { s, device } = nvme();
  s.regionRead(device, 0, 0x1000, 4, 0)
    .regionRead(device, 0, 0x2100, 4, 0)
    .regionWrite(device, 0, 0x1ffc, 4, 1);
  assert.deepEqual(await judge(MSI_005, s), ['pass']);
});

test('MSI-005: a dump of the BAR is a note', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.regionRead(device, 0, 0, 0x4000, new Uint8Array(0x4000));
  assert.deepEqual(await judge(MSI_005, s), ['note', `note read @${at}`]);
});

test('MSI-006: a doorbell in the page of the table, and a BAR of half a page', async () => {
  const config = nvmeConfig();
  config.set([0x00, 0x10], 0x74);
  const { s, device } = nvme(config);
  s.regionInfo(device, 0, { size: 0x3800n });
  const at = s.next;
  s.store(device, 0, 0x1100, 4, 1);
  assert.deepEqual(await judge(MSI_006, s), ['note', `note BAR0 SQnTDBL @${at}`, `note BAR0 size @7`]);
});

test('MSI-006: table and PBA in one page, and registers in others', async () => {
  const config = nvmeConfig();
  config.set([0x00, 0x28], 0x78);
  const { s, device } = nvme(config);
  s.load(device, 0, 0x2800, 8, 0).store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(MSI_006, s), ['pass']);
});

/** An MSIX_MAPPABLE capability. */
const MAPPABLE = Uint8Array.of(3, 0, 1, 0, 0, 0, 0, 0);

test('MSI-007: mapped without looking, and where the kernel offers it', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.map(device, 0, 0x4000n);
  assert.deepEqual(await judge(MSI_007, s), ['fail', `warning BAR0 @${at}`]);
  const offered = nvme();
  const info = offered.s.next;
  offered.s.regionInfo(offered.device, 0, { size: 0x4000n, capabilities: MAPPABLE });
  offered.s.map(offered.device, 0, 0x4000n);
  assert.deepEqual(await judge(MSI_007, offered.s), ['note', `note BAR0 @${info + 1},${info}`]);
});

test('MSI-007: round the table, read-only, or refused', async () => {
  const { s, device } = nvme();
  s.map(device, 0, 0x2000n);
  s.map(device, 0, 0x1000n, { offset: 0x3000n });
  s.map(device, 0, 0x4000n, { protection: 1 });
  s.map(device, 0, 0x4000n, { errno: 22 });
  assert.deepEqual(await judge(MSI_007, s), ['pass']);
});

function ioeventfd(s: RecordedSession, device: Opened, offset: bigint, errno = 0) {
  const before = encode(IOEVENTFD, { argsz: 32, flags: 4, offset, fd: s.eventfd().fd });
  const at = s.next;
  s.ioctl(device, 'VFIO_DEVICE_IOEVENTFD', { before, errno });
  return at;
}

test('MSI-008: into the table', async () => {
  const { s, device } = nvme();
  const at = ioeventfd(s, device, 0x2004n, 22);
  assert.deepEqual(await judge(MSI_008, s), ['fail', `error IOEVENTFD @${at}`]);
});

test('MSI-008: a doorbell', async () => {
  const { s, device } = nvme();
  ioeventfd(s, device, 0x1000n);
  assert.deepEqual(await judge(MSI_008, s), ['pass']);
});
