// SPDX-License-Identifier: Apache-2.0
/** Cases in which a rule that looks at one thing alone would lie: docs/traps.md has them all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IOAS_MAP_FILE } from '../../abi/iommufd/ioas.js';
import { encode } from '../../abi/layout.js';
import { IOEVENTFD } from '../../abi/vfio/device.js';
import { NVME_DEVICE, RecordedSession } from '../../session/fixtures.js';
import { EventKind, ObjectKind } from '../../traces/model.js';
import { walkCapabilities } from '../capability-walk.js';
import { nvme, says } from './session.js';

test('MSI-001, MSI-002: configuration space is saved and written back after a reset', async () => {
  const { s, device } = nvme();
  const saved = new DataView(NVME_DEVICE.config.slice().buffer);
  s.configRead(device, 0, 256, NVME_DEVICE.config.slice()).reset(device);
  for (let at = 0; at < 256; at += 4) s.configWrite(device, at, 4, saved.getUint32(at, true));
  for (const id of ['MSI-001', 'MSI-002'])
    assert.ok(['note', 'pass'].includes((await says(id, s))[0] ?? ''), id);
});

test('MSI-002: a monitor passes on what its guest writes', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x72, 2, 0x800f);
  assert.deepEqual(await says('MSI-002', s, { profile: 'vmm' }), ['note', 'note MSIX.Control']);
});

test('MSI-003: the page of the table is mapped and used beside it', async () => {
  const { s, device } = nvme();
  s.map(device, 0, 0x4000n);
  s.store(device, 0, 0x2100, 4, 1).store(device, 0, 0x1ffc, 4, 1);
  assert.deepEqual(await says('MSI-003', s), ['pass']);
});

test('MSI-008: an ioeventfd that is not there is taken away', async () => {
  const { s, device } = nvme();
  const before = encode(IOEVENTFD, { argsz: 32, flags: 4, offset: 0x1000n, fd: -1 });
  s.ioctl(device, 'VFIO_DEVICE_IOEVENTFD', { before, errno: 19 });
  assert.deepEqual(await says('MSI-008', s), ['not applicable']);
});

test('INTX-001: in 2010 VFIO_IRQ_EOI unmasks', async () => {
  const s = new RecordedSession();
  const device = s.openLyon();
  const eventfd = s.eventfd();
  s.ioctl(device, 'VFIO_EVENTFD_IRQ', { before: new Uint8Array(new Int32Array([eventfd.fd]).buffer) });
  s.readEventfd(eventfd).ioctl(device, 'VFIO_IRQ_EOI').after(2e9).close(device);
  assert.deepEqual(await says('INTX-001', s), ['pass']);
});

test('RST-001: DPDK takes EINVAL for an answer, and resets the controller by its registers', async () => {
  const s = new RecordedSession();
  const device = s.getDevice(s.group());
  s.deviceInfo(device, 2).configWrite(device, 4, 2, 0x0406).reset(device, 22).store(device, 0, 0x14, 4, 0);
  assert.deepEqual(await says('RST-001', s), ['fail', 'warning bus mastering']);
});

test('RST-004: a reset after the device reported an error', async () => {
  const { s, device } = nvme();
  const err = s.eventfd();
  s.setIrqs(device, { index: 3, eventfds: [err] });
  s.configWrite(device, 4, 2, 0x0406).setIrqs(device, { index: 2, eventfds: [s.eventfd()] });
  s.store(device, 0, 0x1000, 4, 1).readEventfd(err).reset(device);
  assert.deepEqual(await says('RST-004', s), ['pass']);
});

test('RST-005: a guest resets its device by the bit', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x88, 2, 0xa810);
  assert.notEqual((await says('RST-005', s, { profile: 'vmm' }))[0], 'fail');
  assert.deepEqual(await says('RST-005', s), ['note', 'note FLR']);
});

test('RST-008: a register that is all ones, among others that are not', async () => {
  const { s, device } = nvme();
  s.reset(device);
  for (let n = 0; n < 3; n++) s.load(device, 0, 0x0c, 4, 0xffff_ffff).load(device, 0, 0x1c, 4, 0);
  s.store(device, 0, 0x14, 4, 1);
  assert.deepEqual(await says('RST-008', s), ['pass']);
});

test('LIF-001: iommufd has no version to ask for', async () => {
  const s = new RecordedSession();
  const iommufd = s.iommufd();
  s.bind(s.openCdev(), iommufd);
  assert.deepEqual(await says('LIF-001', s), ['not applicable']);
});

test('LIF-003: a second group joins a container that has its IOMMU; without an IOMMU nothing is mapped', async () => {
  const { s, container } = nvme();
  const second = s.group(8);
  s.groupStatus(second).setContainer(second, container);
  s.getDevice(second, { bdf: '0000:00:05.0' });
  assert.deepEqual(await says('LIF-003', s), ['pass']);
  const none = new RecordedSession();
  const held = none.container();
  const group = none.open(ObjectKind.NOIOMMU_GROUP, '/dev/vfio/noiommu-7');
  none.setContainer(group, held).setIommu(held, 8n);
  none.configRead(none.getDevice(group), 0, 2, 0x1b36);
  assert.notEqual((await says('LIF-003', none))[0], 'fail');
});

test('LIF-004: capabilities of a region that nobody maps', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 2, { size: 0x1000n, argsz: 32, capabilities: new Uint8Array(16) });
  assert.deepEqual(await says('LIF-004', s), ['pass']);
});

test('LIF-005: one opens, another that got it over a socket uses', async () => {
  const s = new RecordedSession();
  s.process(2, 101, 1);
  const container = s.container();
  s.thread(2, 2).event({ kind: EventKind.RECV_FD, object: container.object, fd: 5 });
  s.ioctl(container, 'VFIO_GET_API_VERSION').ioctl(container, 'VFIO_GET_API_VERSION');
  assert.deepEqual(await says('LIF-005', s), ['pass']);
});

test('LIF-006: calls and reads by the descriptor wake the device by themselves', async () => {
  const { s, device } = nvme();
  s.feature(device, 3).configRead(device, 4, 2, 0x0402).regionRead(device, 0, 0x1c, 4, 0);
  s.regionInfo(device, 0, { size: 0x4000n });
  assert.deepEqual(await says('LIF-006', s), ['pass']);
});

test('LIF-007, CFG-009: PMCSR is written with the state that it has', async () => {
  const { s, device } = nvme();
  s.configRead(device, 0x44, 2, 0x0008).configWrite(device, 0x44, 2, 0x8108).load(device, 0, 0x1c, 4, 0);
  for (const id of ['LIF-007', 'CFG-009'])
    assert.ok(['pass', 'not applicable'].includes((await says(id, s))[0] ?? ''), id);
});

test('CFG-011: the chain is walked twice, as DPDK does', async () => {
  const { s, device } = nvme();
  for (let n = 0; n < 2; n++) walkCapabilities(s, device);
  s.configWrite(device, 0x88, 2, 0x2810);
  assert.deepEqual(await says('CFG-011', s), ['pass']);
});

test('DMA-004: a value of another register looks like an address', async () => {
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0n, size: 0x10_0000n }).configWrite(device, 4, 2, 0x0406);
  s.store(device, 0, 0x24, 4, 0x001f_001f).store(device, 0, 0x28, 8, 0).store(device, 0, 0x30, 8, 0x1000);
  s.store(device, 0, 0x14, 4, 0x0046_0001).store(device, 0, 0x0c, 4, 0x7f80_0000);
  assert.deepEqual(await says('DMA-004', s), ['pass']);
});

test('DMA-015: memory of a file, mapped by the file: the process’s own mapping of it may go', async () => {
  const s = new RecordedSession();
  const iommufd = s.iommufd();
  const device = s.openCdev();
  s.bind(device, iommufd).attach(device, 1).deviceInfo(device).configWrite(device, 4, 2, 0x0406);
  s.store(device, 0, 0x14, 4, 0x0046_0001);
  const address = s.memory(0x10_0000n, undefined, 0x01);
  const map = { size: 40, flags: 7, ioas_id: 1, fd: 60, start: 0n, length: 0x10_0000n, iova: 0n };
  s.struct(iommufd, 'IOMMU_IOAS_MAP_FILE', IOAS_MAP_FILE, map, map).unmap(address, 0x10_0000n);
  assert.notEqual((await says('DMA-015', s))[0], 'fail');
});

test('BAR-002: DPDK reserves the place, and maps the region over it', async () => {
  const { s, device } = nvme();
  const place = s.memory(0x4000n);
  s.event({
    kind: EventKind.MMAP,
    object: device.object,
    fd: device.fd,
    op: 3 | (0x11 << 8),
    offset: 0n,
    value: 0x4000n,
    result: place,
  });
  s.load(device, 0, 0x1c, 4, 0);
  for (const id of ['BAR-002', 'DMA-015']) assert.notEqual((await says(id, s))[0], 'fail', id);
});

test('PERF-001, PERF-002: a wait at the start; what a monitor reads for its guest', async () => {
  const { s, device } = nvme();
  for (let n = 0; n < 900; n++) s.load(device, 0, 0x1c, 4, 0);
  s.load(device, 0, 0x1c, 4, 1);
  assert.deepEqual(await says('PERF-001', s), ['pass']);
  const guest = nvme();
  for (let n = 0; n < 200; n++) guest.s.regionRead(guest.device, 0, 0x1c, 4, 1);
  assert.notEqual((await says('PERF-002', guest.s, { profile: 'vmm' }))[0], 'fail');
});
