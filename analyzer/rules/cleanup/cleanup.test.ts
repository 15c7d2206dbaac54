// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { CLN_001 } from './cln-001-unmap.js';
import { CLN_002 } from './cln-002-interrupts-off.js';
import { CLN_003 } from './cln-003-unmap-bars.js';
import { CLN_004 } from './cln-004-order.js';
import { CLN_005 } from './cln-005-descriptors.js';
import { CLN_006 } from './cln-006-every-exit.js';
import { CLN_007 } from './cln-007-anew.js';
import { CLN_008 } from './cln-008-error-paths.js';

function nvme() {
  const s = new RecordedSession();
  return { s, ...s.openNvme() };
}

test('CLN-001: closed with mappings', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: 0x1000n }).mapDma(container, { iova: 0x1000n, size: 0x1000n });
  const at = s.next;
  s.close(container);
  assert.deepEqual(await judge(CLN_001, s), ['note', `note ioas 0 @${at}`]);
});

test('CLN-001: the process ends, or the recording does', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: 0x1000n });
  s.exit();
  assert.deepEqual(await judge(CLN_001, s), ['note', `note ioas 0 @${s.next - 1}`]);
  const killed = nvme();
  killed.s.mapDma(killed.container, { iova: 0n, size: 0x1000n });
  assert.deepEqual(await judge(CLN_001, killed.s), ['note', `note ioas 0 @${killed.s.next - 1}`]);
});

test('CLN-001: unmapped, and mapped twice by descriptors that are one', async () => {
  const { s, container } = nvme();
  const copy = s.dup(container);
  s.mapDma(container, { iova: 0n, size: 0x1000n }).close(container);
  s.unmapDma(copy, { iova: 0n, size: 0x1000n }).close(copy);
  assert.deepEqual(await judge(CLN_001, s), ['pass']);
});

test('CLN-002: closed with vectors enabled', async () => {
  const { s, device } = nvme();
  const [first, second] = [s.eventfd(), s.eventfd()];
  const enabled = s.next;
  s.setIrqs(device, { index: 2, eventfds: [first, second] });
  s.close(device);
  assert.deepEqual(await judge(CLN_002, s), ['note', `note msix @${enabled + 1},${enabled}`]);
});

test('CLN-002: disabled, or every vector detached', async () => {
  const disabled = nvme();
  disabled.s.setIrqs(disabled.device, { index: 2, eventfds: [disabled.s.eventfd()] });
  disabled.s.setIrqs(disabled.device, { index: 2 }).close(disabled.device);
  assert.deepEqual(await judge(CLN_002, disabled.s), ['pass']);
  const detached = nvme();
  detached.s.setIrqs(detached.device, { index: 2, eventfds: [detached.s.eventfd()] });
  detached.s.setIrqs(detached.device, { index: 2, eventfds: [-1] }).close(detached.device);
  assert.deepEqual(await judge(CLN_002, detached.s), ['pass']);
});

test('CLN-003: the group is busy because a BAR is mapped', async () => {
  const { s, device, group } = nvme();
  s.map(device, 0, 0x4000n);
  const at = s.next;
  s.close(device).ioctl(group, 'VFIO_GROUP_UNSET_CONTAINER', { errno: 16 });
  assert.deepEqual(await judge(CLN_003, s), ['fail', `warning BAR0 @${at},${at + 1}`]);
});

test('CLN-003: it lives on for longer than a second', async () => {
  const { s, device } = nvme();
  s.map(device, 0, 0x4000n);
  const at = s.next;
  s.close(device).after(2e9).exit();
  assert.deepEqual(await judge(CLN_003, s), ['fail', `warning BAR0 @${at},${at + 1}`]);
});

test('CLN-003: closed first and unmapped then, as DPDK does, or at the exit', async () => {
  const { s, device } = nvme();
  const address = s.map(device, 0, 0x4000n);
  s.close(device).unmap(address, 0x4000n).after(2e9).exit();
  assert.deepEqual(await judge(CLN_003, s), ['pass']);
  const exits = nvme();
  exits.s.map(exits.device, 0, 0x4000n);
  exits.s.close(exits.device).exit();
  assert.deepEqual(await judge(CLN_003, exits.s), ['pass']);
});

test('CLN-004: UNSET_CONTAINER too early, and the container first', async () => {
  const { s, container, group, device } = nvme();
  const at = s.next;
  s.ioctl(group, 'VFIO_GROUP_UNSET_CONTAINER', { errno: 16 }).close(container).close(device).close(group);
  assert.deepEqual(await judge(CLN_004, s), [
    'note',
    `note UNSET_CONTAINER @${at}`,
    `note container @${at + 1}`,
  ]);
});

test('CLN-004: the way back', async () => {
  const { s, container, group, device } = nvme();
  s.close(device).ioctl(group, 'VFIO_GROUP_UNSET_CONTAINER').close(group).close(container);
  assert.deepEqual(await judge(CLN_004, s), ['pass']);
});

function cycles(leak: boolean) {
  const s = new RecordedSession();
  const group = s.group();
  const closes: number[] = [];
  for (let n = 0; n < 5; n++) {
    const device = s.getDevice(group);
    const eventfd = s.eventfd();
    if (!leak) s.close(eventfd);
    closes.push(s.next);
    s.close(device);
  }
  return { s, closes };
}

test('CLN-005: an eventfd more, each time', async () => {
  const { s, closes } = cycles(true);
  assert.deepEqual(await judge(CLN_005, s), ['fail', `warning eventfd x3 @${closes.slice(2).join(',')}`]);
});

test('CLN-005: closed each time', async () => {
  assert.deepEqual(await judge(CLN_005, cycles(false).s), ['pass']);
});

test('CLN-006: the end of the process with a device that runs and can not be reset', async () => {
  const s = new RecordedSession();
  const device = s.getDevice(s.group());
  const info = s.next;
  s.deviceInfo(device, 2).configWrite(device, 4, 2, 0x0406);
  const at = s.next;
  s.exit();
  assert.deepEqual(await judge(CLN_006, s), ['fail', `warning not resettable @${at},${info + 1},${info}`]);
});

test('CLN-006: it can be reset, and a signal ended it', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 4, 2, 0x0406);
  s.signal(2);
  const [status, finding] = await judge(CLN_006, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', /^note resettable/);
});

test('CLN-006: stopped, closed, or never mastering', async () => {
  const stopped = nvme();
  stopped.s.configWrite(stopped.device, 4, 2, 0x0406).store(stopped.device, 0, 0x14, 4, 0).exit();
  assert.deepEqual(await judge(CLN_006, stopped.s), ['pass']);
  const closed = nvme();
  closed.s.configWrite(closed.device, 4, 2, 0x0406).close(closed.device).exit();
  assert.deepEqual(await judge(CLN_006, closed.s), ['pass']);
  const never = nvme();
  never.s.exit();
  assert.deepEqual(await judge(CLN_006, never.s), ['pass']);
});

test('CLN-007: opened again, and the first thing is a doorbell', async () => {
  const { s, group, device } = nvme();
  s.store(device, 0, 0x14, 4, 0);
  const closed = s.next;
  s.close(device);
  const again = s.getDevice(group);
  const at = s.next;
  s.store(again, 0, 0x1000, 4, 1).store(again, 0, 0x1000, 4, 2);
  assert.deepEqual(await judge(CLN_007, s), ['note', `note SQnTDBL @${at},${closed}`]);
});

test('CLN-007: opened again and set up, and opened once', async () => {
  const { s, group, device } = nvme();
  s.close(device);
  const again = s.getDevice(group);
  s.store(again, 0, 0x14, 4, 0).store(again, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(CLN_007, s), ['pass']);
  const once = nvme();
  once.s.store(once.device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(CLN_007, once.s), ['not applicable']);
});

function retries(leak: boolean) {
  const s = new RecordedSession();
  const events: number[] = [];
  for (let n = 0; n < 4; n++) {
    const container = s.container();
    events.push(s.next);
    s.mapDma(container, { iova: 0n, size: 0x1000n, errno: 12 });
    if (!leak) s.close(container);
  }
  return { s, events };
}

test('CLN-008: tried again and again, with a descriptor more each time', async () => {
  const { s, events } = retries(true);
  const [, second, third, fourth] = events;
  assert.deepEqual(await judge(CLN_008, s), [
    'fail',
    `warning VFIO_IOMMU_MAP_DMA x2 @${third},${second},${fourth},${third}`,
  ]);
});

test('CLN-008: given back each time', async () => {
  assert.deepEqual(await judge(CLN_008, retries(false).s), ['pass']);
});
