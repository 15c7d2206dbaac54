// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '../../../abi/layout.js';
import { HOT_RESET, HOT_RESET_INFO } from '../../../abi/vfio/hot-reset.js';
import { REGION_INFO } from '../../../abi/vfio/region-info.js';
import { type Opened, RecordedSession } from '../../../session/fixtures.js';
import { EventKind, ObjectKind } from '../../../traces/model.js';
import { judge } from '../../check/fixtures.js';
import { LIF_001 } from './lif-001-version-and-type.js';
import { LIF_002 } from './lif-002-viable.js';
import { LIF_003 } from './lif-003-order.js';
import { LIF_004 } from './lif-004-argsz.js';
import { LIF_005 } from './lif-005-one-process.js';
import { LIF_006 } from './lif-006-low-power.js';
import { LIF_007 } from './lif-007-d0.js';
import { LIF_008 } from './lif-008-removal.js';
import { LIF_009 } from './lif-009-noiommu.js';
import { RST_001 } from './rst-001-known-state.js';
import { RST_002 } from './rst-002-reset-at-close.js';
import { RST_003 } from './rst-003-anew-after-reset.js';
import { RST_004 } from './rst-004-quiet-before-reset.js';
import { RST_005 } from './rst-005-reset-ioctl.js';
import { RST_006 } from './rst-006-hot-reset.js';
import { RST_007 } from './rst-007-result.js';
import { RST_008 } from './rst-008-recovery-time.js';

function nvme() {
  const s = new RecordedSession();
  return { s, ...s.openNvme() };
}

/** A device whose reset at open failed; GET_INFO is event 2. */
function withoutReset(definition: Parameters<RecordedSession['getDevice']>[1] = {}) {
  const s = new RecordedSession();
  const device = s.getDevice(s.group(), definition);
  s.deviceInfo(device, 2);
  return { s, device };
}

test('RST-001: bus mastering on a device that was never reset', async () => {
  const { s, device } = withoutReset();
  const write = s.next;
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['fail', `error bus mastering @${write},2`]);
});

test('RST-001: found running, with memory that it could reach', async () => {
  const s = new RecordedSession();
  const container = s.container();
  const group = s.group();
  s.setContainer(group, container).setIommu(container);
  const device = s.getDevice(group);
  const info = s.next;
  s.deviceInfo(device, 2);
  const write = s.next;
  s.configWrite(device, 0x04, 2, 0x0406).load(device, 0, 0x14, 4, 1);
  s.mapDma(container, { iova: 0n, size: 0x1000n }).store(device, 0, 0x14, 4, 0);
  assert.deepEqual(await judge(RST_001, s), [
    'fail',
    `error bus mastering @${write},${info},${write + 1},${write + 2}`,
  ]);
});

test('RST-001: found running, and stopped before there was memory: QEMU’s NVMe driver', async () => {
  const { s, device } = withoutReset();
  const write = s.next;
  s.configWrite(device, 0x04, 2, 0x0406).load(device, 0, 0x14, 4, 1).store(device, 0, 0x14, 4, 0);
  assert.deepEqual(await judge(RST_001, s), ['fail', `warning bus mastering @${write},2,${write + 2}`]);
});

test('RST-001: the controller’s own reset came next, or it was found stopped: a warning', async () => {
  const next = withoutReset();
  const write = next.s.next;
  next.s.configWrite(next.device, 0x04, 2, 0x0406).store(next.device, 0, 0x14, 4, 0);
  assert.deepEqual(await judge(RST_001, next.s), ['fail', `warning bus mastering @${write},2,${write + 1}`]);
  const { s, device } = withoutReset();
  s.configWrite(device, 0x04, 2, 0x0406).load(device, 0, 0x14, 4, 0).store(device, 0, 0x14, 4, 1);
  assert.deepEqual(await judge(RST_001, s), ['fail', `warning bus mastering @${write},2,${write + 1}`]);
});

test('RST-001: the kernel reset it at open', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['pass']);
});

test('RST-001: the driver resets the controller first, where VFIO can not', async () => {
  const { s, device } = withoutReset();
  s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0).configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['pass']);
});

test('RST-001: a reset that failed is none', async () => {
  const { s, device } = withoutReset();
  s.reset(device, 22);
  const write = s.next;
  s.configWrite(device, 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['fail', `error bus mastering @${write},2`]);
});

test('RST-001: without GET_INFO nobody knows', async () => {
  const s = new RecordedSession();
  s.configWrite(s.getDevice(s.group()), 0x04, 2, 0x0406);
  assert.deepEqual(await judge(RST_001, s), ['unknown']);
});

test('RST-001: bus mastering that stays off is nothing to judge', async () => {
  assert.deepEqual(await judge(RST_001, withoutReset().s), ['not applicable']);
});

test('RST-001: a recording that lost events never says pass', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x04, 2, 0x0406);
  s.lose();
  assert.deepEqual(await judge(RST_001, s), ['unknown']);
});

test('RST-002: closed while it runs, and nobody can reset it', async () => {
  const { s, device } = withoutReset();
  const write = s.next;
  s.configWrite(device, 4, 2, 0x0406).close(device);
  assert.deepEqual(await judge(RST_002, s), ['fail', `warning close @${write + 1},2,${write}`]);
});

test('RST-002: stopped, bus mastering off, hot-resettable, or resettable', async () => {
  const stopped = withoutReset();
  stopped.s
    .configWrite(stopped.device, 4, 2, 0x0406)
    .store(stopped.device, 0, 0x14, 4, 0)
    .close(stopped.device);
  assert.deepEqual(await judge(RST_002, stopped.s), ['pass']);
  const off = withoutReset();
  off.s.configWrite(off.device, 4, 2, 0x0406).configWrite(off.device, 4, 2, 0x0402).close(off.device);
  assert.deepEqual(await judge(RST_002, off.s), ['pass']);
  const hot = withoutReset();
  hotResetInfo(hot.s, hot.device);
  hot.s.configWrite(hot.device, 4, 2, 0x0406).close(hot.device);
  assert.deepEqual(await judge(RST_002, hot.s), ['pass']);
  const { s, device } = nvme();
  s.configWrite(device, 4, 2, 0x0406).close(device);
  assert.deepEqual(await judge(RST_002, s), ['pass']);
});

function hotResetInfo(s: RecordedSession, device: Opened, errno = 0): number {
  const at = s.next;
  s.struct(
    device,
    'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
    HOT_RESET_INFO,
    { argsz: 12 },
    { argsz: 12 },
    { errno },
  );
  return at;
}

test('RST-003: the doorbells of before the reset', async () => {
  const { s, device } = nvme();
  s.store(device, 0, 0x1000, 4, 1);
  const reset = s.next;
  s.reset(device).store(device, 0, 0x1000, 4, 2);
  assert.deepEqual(await judge(RST_003, s), ['fail', `error SQnTDBL @${reset + 1},${reset}`]);
});

test('RST-003: set up again, bus mastering before the reset, or nothing after it', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 4, 2, 0x0406).reset(device);
  s.store(device, 0, 0x28, 8, 0x1000).store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(RST_003, s), ['pass']);
  const last = nvme();
  last.s.store(last.device, 0, 0x1000, 4, 1).reset(last.device).close(last.device);
  assert.deepEqual(await judge(RST_003, last.s), ['not applicable']);
});

test('RST-004: reset in the middle of it all', async () => {
  const { s, device } = nvme();
  const master = s.next;
  s.configWrite(device, 4, 2, 0x0406).setIrqs(device, { index: 2, eventfds: [s.eventfd()] });
  const access = s.next;
  s.store(device, 0, 0x1000, 4, 1).reset(device);
  assert.deepEqual(await judge(RST_004, s), [
    'fail',
    `warning VFIO_DEVICE_RESET @${access + 1},${access},${master}`,
  ]);
});

test('RST-004: before anything runs, after it was stopped, or idle for long', async () => {
  const first = nvme();
  first.s.reset(first.device);
  assert.deepEqual(await judge(RST_004, first.s), ['pass']);
  const stopped = nvme();
  stopped.s.configWrite(stopped.device, 4, 2, 0x0406);
  stopped.s.setIrqs(stopped.device, { index: 2, eventfds: [stopped.s.eventfd()] });
  stopped.s.store(stopped.device, 0, 0x14, 4, 0).reset(stopped.device);
  assert.deepEqual(await judge(RST_004, stopped.s), ['pass']);
  const idle = nvme();
  idle.s.configWrite(idle.device, 4, 2, 0x0406);
  idle.s.setIrqs(idle.device, { index: 2, eventfds: [idle.s.eventfd()] });
  idle.s.store(idle.device, 0, 0x1000, 4, 1).after(3e9).reset(idle.device);
  assert.deepEqual(await judge(RST_004, idle.s), ['pass']);
});

test('RST-005: FLR by the bit', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.configWrite(device, 0x88, 2, 0xa810);
  assert.deepEqual(await judge(RST_005, s), ['note', `note FLR @${at}`]);
});

test('RST-005: the ioctl', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x88, 2, 0x2810).reset(device);
  assert.deepEqual(await judge(RST_005, s), ['pass']);
});

function hotReset(s: RecordedSession, device: Opened, errno = 0): number {
  const at = s.next;
  s.struct(device, 'VFIO_DEVICE_PCI_HOT_RESET', HOT_RESET, { argsz: 16, count: 1 }, undefined, { errno });
  return at;
}

test('RST-006: refused, and not asked', async () => {
  const { s, device } = nvme();
  const info = hotResetInfo(s, device);
  const at = hotReset(s, device, 22);
  assert.deepEqual(await judge(RST_006, s), ['fail', `error EINVAL @${at},${info}`]);
  const blind = nvme();
  const then = hotReset(blind.s, blind.device);
  assert.deepEqual(await judge(RST_006, blind.s), ['fail', `warning not asked @${then}`]);
});

test('RST-006: asked for the size, asked, done', async () => {
  const { s, device } = nvme();
  hotResetInfo(s, device, 28);
  hotResetInfo(s, device);
  hotReset(s, device);
  assert.deepEqual(await judge(RST_006, s), ['pass']);
});

test('RST-007: a reset failed, and the driver went on', async () => {
  const { s, device } = nvme();
  const reset = s.next;
  s.reset(device, 11).store(device, 0, 0x28, 8, 0x1000);
  assert.deepEqual(await judge(RST_007, s), [
    'fail',
    `error VFIO_DEVICE_RESET EAGAIN @${reset + 1},${reset}`,
  ]);
});

test('RST-007: EINVAL where there is no reset is a warning', async () => {
  const { s, device } = withoutReset();
  const reset = s.next;
  s.reset(device, 22).configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(RST_007, s), [
    'fail',
    `warning VFIO_DEVICE_RESET EINVAL @${reset + 1},${reset}`,
  ]);
});

test('RST-007: tried again, reset by itself, closed', async () => {
  const again = nvme();
  again.s.reset(again.device, 11).reset(again.device).store(again.device, 0, 0x28, 8, 0x1000);
  assert.deepEqual(await judge(RST_007, again.s), ['pass']);
  const own = nvme();
  own.s.reset(own.device, 22).store(own.device, 0, 0x14, 4, 0).store(own.device, 0, 0x28, 8, 0x1000);
  assert.deepEqual(await judge(RST_007, own.s), ['pass']);
  const closed = nvme();
  closed.s.reset(closed.device, 11).load(closed.device, 0, 0x1c, 4, 0).close(closed.device);
  assert.deepEqual(await judge(RST_007, closed.s), ['pass']);
});

test('RST-008: all ones after a reset, and taken for data', async () => {
  const { s, device } = nvme();
  const reset = s.next;
  s.reset(device);
  for (let n = 0; n < 3; n++) s.load(device, 0, 0x1c, 4, 0xffff_ffff);
  s.store(device, 0, 0x14, 4, 1);
  assert.deepEqual(await judge(RST_008, s), ['fail', `warning CC @${reset + 4},${reset + 1},${reset}`]);
});

test('RST-008: waited for, or long after', async () => {
  const { s, device } = nvme();
  s.reset(device);
  for (let n = 0; n < 3; n++) s.load(device, 0, 0x1c, 4, 0xffff_ffff);
  s.load(device, 0, 0x1c, 4, 0).store(device, 0, 0x14, 4, 1);
  assert.deepEqual(await judge(RST_008, s), ['pass']);
  const late = nvme();
  late.s.reset(late.device).after(2e8);
  for (let n = 0; n < 3; n++) late.s.load(late.device, 0, 0x1c, 4, 0xffff_ffff);
  late.s.store(late.device, 0, 0x14, 4, 1);
  assert.deepEqual(await judge(RST_008, late.s), ['pass']);
});

test('LIF-001: nobody asked', async () => {
  const s = new RecordedSession();
  const container = s.container();
  const at = s.next;
  s.setIommu(container);
  assert.deepEqual(await judge(LIF_001, s), ['fail', `warning GET_API_VERSION CHECK_EXTENSION(3) @${at}`]);
});

test('LIF-001: asked; the version of another container will do', async () => {
  const { s } = nvme();
  const second = s.container();
  s.ioctl(second, 'VFIO_CHECK_EXTENSION', { argument: 3n, result: 1n }).setIommu(second);
  assert.deepEqual(await judge(LIF_001, s), ['pass']);
});

test('LIF-002: not viable, and not asked', async () => {
  const s = new RecordedSession();
  const [container, first, second] = [s.container(), s.group(7), s.group(8)];
  const status = s.next;
  s.groupStatus(first, 0);
  s.setContainer(first, container, 1).setContainer(second, container);
  assert.deepEqual(await judge(LIF_002, s), [
    'fail',
    `warning it was not viable @${status + 1},${status}`,
    `warning its status was not asked @${status + 2}`,
  ]);
});

test('LIF-002: viable', async () => {
  assert.deepEqual(await judge(LIF_002, nvme().s), ['pass']);
});

test('LIF-003: the device before the container', async () => {
  const s = new RecordedSession();
  const group = s.group();
  const at = s.next;
  s.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', { errno: 22 });
  assert.deepEqual(await judge(LIF_003, s), ['fail', `error GET_DEVICE_FD @${at}`]);
});

test('LIF-003: a character device before it is bound, made good later', async () => {
  const s = new RecordedSession();
  const iommufd = s.iommufd();
  const device = s.openCdev();
  const at = s.next;
  s.configRead(device, 0, 2, 0, 22).bind(device, iommufd).configRead(device, 0, 2, 0x1b36);
  assert.deepEqual(await judge(LIF_003, s), ['note', `note BIND_IOMMUFD @${at}`]);
});

test('LIF-003: in order; a device that is not there is another matter', async () => {
  const { s, group } = nvme();
  s.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', { errno: 19 });
  assert.deepEqual(await judge(LIF_003, s), ['pass']);
});

test('LIF-004: too small, a reserved field, and capabilities left', async () => {
  const { s, device } = nvme();
  const at = s.next;
  const before = encode(REGION_INFO, { argsz: 8, index: 0 });
  s.ioctl(device, 'VFIO_DEVICE_GET_REGION_INFO', { before, errno: 22 });
  s.regionInfo(device, 2, { size: 0x1000n, argsz: 32, capabilities: new Uint8Array(16) });
  s.map(device, 2, 0x1000n);
  assert.deepEqual(await judge(LIF_004, s), [
    'fail',
    `warning VFIO_DEVICE_GET_REGION_INFO argsz @${at}`,
    `note capabilities of BAR2 @${at + 2},${at + 1}`,
  ]);
});

test('LIF-004: asked again with more room', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 2, { size: 0x1000n, argsz: 32, capabilities: new Uint8Array(16) });
  s.regionInfo(device, 2, { size: 0x1000n, capabilities: new Uint8Array(16) });
  s.map(device, 2, 0x1000n);
  assert.deepEqual(await judge(LIF_004, s), ['pass']);
});

test('LIF-005: a child uses its parent’s container', async () => {
  const s = new RecordedSession();
  s.process(2, 101, 100);
  const container = s.open(ObjectKind.CONTAINER, '/dev/vfio/vfio');
  const first = s.next;
  s.ioctl(container, 'VFIO_GET_API_VERSION').fork(101).thread(2, 2);
  const at = s.next;
  s.ioctl(container, 'VFIO_GET_API_VERSION');
  assert.deepEqual(await judge(LIF_005, s), ['fail', `warning shared container0 @${at},${first}`]);
});

test('LIF-005: through an exec', async () => {
  const s = new RecordedSession();
  s.container();
  const at = s.next;
  s.event({ kind: EventKind.EXEC });
  assert.deepEqual(await judge(LIF_005, s), ['fail', `warning exec container0 @${at},0`]);
});

test('LIF-005: got over a socket; an exec that failed; one process in two images', async () => {
  const s = new RecordedSession();
  s.process(2, 101, 100);
  const container = s.container();
  s.ioctl(container, 'VFIO_GET_API_VERSION').thread(2, 2);
  s.event({ kind: EventKind.RECV_FD, object: container.object, fd: 5 });
  s.ioctl(container, 'VFIO_GET_API_VERSION');
  s.event({ kind: EventKind.EXEC, errno: 2, result: -1n });
  assert.deepEqual(await judge(LIF_005, s), ['pass']);
  const image = new RecordedSession();
  image.process(2, 100, 1);
  const held = image.container();
  image.ioctl(held, 'VFIO_GET_API_VERSION').thread(2, 2);
  image.ioctl(held, 'VFIO_GET_API_VERSION');
  assert.deepEqual(await judge(LIF_005, image), ['pass']);
});

test('LIF-006: a load of a device that may be asleep, and asleep twice', async () => {
  const { s, device } = nvme();
  const entry = s.next;
  s.feature(device, 3).load(device, 0, 0x1c, 4, 0).feature(device, 3, 22);
  assert.deepEqual(await judge(LIF_006, s), [
    'fail',
    `error load BAR0 @${entry + 1},${entry}`,
    `error ENTRY twice @${entry + 2},${entry}`,
  ]);
});

test('LIF-006: woken, and woken by an eventfd', async () => {
  const { s, device } = nvme();
  s.feature(device, 3).feature(device, 5).load(device, 0, 0x1c, 4, 0);
  assert.deepEqual(await judge(LIF_006, s), ['pass']);
  const other = nvme();
  const eventfd = other.s.eventfd();
  other.s.feature(other.device, 4).readEventfd(eventfd).load(other.device, 0, 0x1c, 4, 0);
  assert.deepEqual(await judge(LIF_006, other.s), ['pass']);
});

test('LIF-007: a load in D3hot', async () => {
  const { s, device } = nvme();
  const sleep = s.next;
  s.configWrite(device, 0x44, 2, 0x000b).load(device, 0, 0x1c, 4, 0);
  assert.deepEqual(await judge(LIF_007, s), ['fail', `error load D3hot @${sleep + 1},${sleep}`]);
});

test('LIF-007: back in D0', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 0x44, 2, 0x000b).configWrite(device, 0x44, 2, 0x0008).load(device, 0, 0x1c, 4, 0);
  assert.deepEqual(await judge(LIF_007, s), ['pass']);
});

test('LIF-008: all ones for seconds', async () => {
  const { s, device } = nvme();
  const first = s.next;
  for (const offset of [0x1c, 0x14, 0x08]) s.load(device, 0, offset, 4, 0xffff_ffff);
  s.after(2e9);
  const at = s.next;
  s.load(device, 0, 0x1c, 4, 0xffff_ffff);
  assert.deepEqual(await judge(LIF_008, s), ['fail', `warning all ones @${at},${first}`]);
});

test('LIF-008: one register that is all ones, a short outage, another value', async () => {
  const { s, device } = nvme();
  for (let n = 0; n < 5; n++) s.load(device, 0, 0x30, 8, 0xffff_ffff_ffff_ffffn).after(1e9);
  s.load(device, 0, 0x1c, 4, 1);
  assert.deepEqual(await judge(LIF_008, s), ['pass']);
});

test('LIF-009: without an IOMMU', async () => {
  const s = new RecordedSession();
  s.open(ObjectKind.NOIOMMU_GROUP, '/dev/vfio/noiommu-7');
  const container = s.container();
  s.setIommu(container, 8n);
  assert.deepEqual(await judge(LIF_009, s), ['note', 'note group @0', 'note SET_IOMMU @2']);
});

test('LIF-009: with one', async () => {
  assert.deepEqual(await judge(LIF_009, nvme().s), ['pass']);
});
