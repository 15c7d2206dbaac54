// SPDX-License-Identifier: Apache-2.0
// Setting interrupts up, and their eventfds: IRQ-001 to IRQ-011.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVM_VM } from '../../../abi/object-kinds.js';
import { type Opened, RecordedSession } from '../../../session/fixtures.js';
import { EventKind, ObjectKind } from '../../../traces/model.js';
import { judge } from '../../check/fixtures.js';
import { IRQ_001 } from './irq-001-within-count.js';
import { IRQ_002 } from './irq-002-one-kind.js';
import { IRQ_003 } from './irq-003-well-formed.js';
import { IRQ_004 } from './irq-004-live-eventfds.js';
import { IRQ_005 } from './irq-005-noresize.js';
import { IRQ_006 } from './irq-006-mask-intx-only.js';
import { IRQ_007 } from './irq-007-consume.js';
import { IRQ_008 } from './irq-008-closed-trigger.js';
import { IRQ_009 } from './irq-009-one-eventfd-each.js';
import { IRQ_010 } from './irq-010-loopback.js';
import { IRQ_011 } from './irq-011-enabled-vectors.js';

const [EBADF, EINVAL, ENOTTY] = [9, 22, 25];

/** 16 MSI-X vectors, one MSI, one INTx; all were asked for. */
function nvme(definition: Parameters<RecordedSession['openNvme']>[0] = {}) {
  const s = new RecordedSession();
  return { s, ...s.openNvme(definition) };
}

/** A device of which nothing was asked. */
function unasked() {
  const s = new RecordedSession();
  const device = s.getDevice(s.group());
  return { s, device };
}

function eventfds(s: RecordedSession, count: number): readonly Opened[] {
  return Array.from({ length: count }, () => s.eventfd());
}

/** The device is used for a while. */
function work(s: RecordedSession, device: Opened, events: number): void {
  for (let n = 0; n < events; n++) s.load(device, 0, 0x1c, 4, 1);
}

test('IRQ-001: more vectors than there are, and never asked', async () => {
  const { s, device } = nvme();
  const fds = eventfds(s, 17);
  const at = s.next;
  s.setIrqs(device, { index: 2, eventfds: fds, errno: EINVAL });
  assert.deepEqual(await judge(IRQ_001, s), ['fail', `error MSIX beyond @${at},${at - 17 - 3}`]);
  const never = unasked();
  const fd = never.s.eventfd();
  never.s
    .setIrqs(never.device, { index: 2, eventfds: [fd] })
    .setIrqs(never.device, { index: 4, eventfds: [fd] });
  assert.deepEqual(await judge(IRQ_001, never.s), [
    'fail',
    `warning MSIX not asked @${never.s.next - 2}`,
    `note REQ not asked @${never.s.next - 1}`,
  ]);
});

test('IRQ-001: an index that takes no eventfds', async () => {
  const { s, device } = unasked();
  s.irqInfo(device, 2, 4, 0);
  s.setIrqs(device, { index: 2, eventfds: [s.eventfd()], errno: EINVAL });
  assert.deepEqual(await judge(IRQ_001, s), ['fail', `error MSIX eventfd @${s.next - 1},${s.next - 3}`]);
});

test('IRQ-001: all of them; switched off without a question; asked when it was open before', async () => {
  const { s, device, group } = nvme();
  s.setIrqs(device, { index: 2, eventfds: eventfds(s, 16) }).setIrqs(device, { index: 2 });
  s.close(device);
  const again = s.getDevice(group);
  s.setIrqs(again, { index: 2, eventfds: eventfds(s, 4) });
  assert.deepEqual(await judge(IRQ_001, s), ['pass']);
  const off = unasked();
  off.s.setIrqs(off.device, { index: 2 });
  assert.deepEqual(await judge(IRQ_001, off.s), ['not applicable']);
});

test('IRQ-002: MSI-X while INTx is enabled', async () => {
  const { s, device } = nvme();
  const fd = s.eventfd();
  const at = s.next;
  s.setIrqs(device, { index: 0, eventfds: [fd] }).setIrqs(device, {
    index: 2,
    eventfds: [fd],
    errno: EINVAL,
  });
  assert.deepEqual(await judge(IRQ_002, s), ['fail', `error MSIX @${at + 1},${at}`]);
  s.setIrqs(device, { index: 0 }).setIrqs(device, { index: 2, eventfds: [fd] });
  assert.deepEqual(await judge(IRQ_002, s), ['note', `note MSIX @${at + 1},${at}`]);
});

test('IRQ-002: one after the other, as DPDK and QEMU do; ERR and REQ beside it', async () => {
  const { s, device } = nvme();
  const [fd, err, req] = eventfds(s, 3) as [Opened, Opened, Opened];
  s.setIrqs(device, { index: 0, eventfds: [fd] });
  s.setIrqs(device, { index: 3, eventfds: [err] }).setIrqs(device, { index: 4, eventfds: [req] });
  s.setIrqs(device, { index: 0 }).setIrqs(device, { index: 2, eventfds: [fd] });
  assert.deepEqual(await judge(IRQ_002, s), ['pass']);
});

test('IRQ-003: flags and sizes', async () => {
  const { s, device } = nvme();
  const fd = s.eventfd();
  const at = s.next;
  s.setIrqs(device, { index: 2, eventfds: [fd, fd, fd, fd], argsz: 20, errno: EINVAL });
  s.setIrqs(device, { index: 2, flags: 0x25, errno: EINVAL });
  s.setIrqs(device, { index: 2, flags: 0x31, errno: EINVAL });
  s.setIrqs(device, { index: 2, flags: 0x61, errno: EINVAL });
  s.setIrqs(device, { index: 2, flags: 0x20, errno: EINVAL });
  assert.deepEqual(await judge(IRQ_003, s), [
    'fail',
    `error argsz @${at}`,
    `error data x2 @${at + 1},${at + 4}`,
    `error action @${at + 2}`,
    `error flags @${at + 3}`,
  ]);
});

test('IRQ-003: exact, and with room to spare (ixy)', async () => {
  const { s, device } = nvme();
  s.setIrqs(device, { index: 2, eventfds: eventfds(s, 4) }).setIrqs(device, {
    index: 2,
    eventfds: [-1],
    argsz: 148,
  });
  s.setIrqs(device, { index: 2 });
  assert.deepEqual(await judge(IRQ_003, s), ['pass']);
});

test('IRQ-004: something else, nothing, and garbage', async () => {
  const { s, device, container } = nvme();
  const fd = s.eventfd();
  const at = s.next;
  // The recorder knows descriptors by what they are.
  setIrqsRaw(s, device, [fd, container], EINVAL, ObjectKind.CONTAINER);
  setIrqsRaw(s, device, [fd, { object: 0, fd: 91 }], EBADF, 0);
  s.setIrqs(device, { index: 2, eventfds: [fd, { object: 0, fd: -7 }] });
  const lines = await judge(IRQ_004, s);
  assert.deepEqual(lines, ['fail', `error MSIX x2 @${at},${at + 1}`, `warning MSIX negative @${at + 2}`]);
});

/** As setIrqs, with the kind of the second descriptor. */
function setIrqsRaw(
  s: RecordedSession,
  device: Opened,
  fds: readonly Opened[],
  errno: number,
  kind: number,
): void {
  const before = new Uint8Array(20 + 4 * fds.length);
  const view = new DataView(before.buffer);
  [before.length, 0x24, 2, 0, fds.length].forEach((value, i) => {
    view.setUint32(i * 4, value, true);
  });
  fds.forEach(({ fd }, i) => {
    view.setInt32(20 + i * 4, fd, true);
  });
  const kinds = new Uint32Array(
    fds.flatMap(({ object }, i) => [i === 1 ? kind : ObjectKind.EVENTFD, object]),
  );
  s.ioctl(device, 'VFIO_DEVICE_SET_IRQS', { before, kind: new Uint8Array(kinds.buffer), errno });
}

test('IRQ-004: -1 enables without a vector (QEMU); an eventfd that came from elsewhere was taken', async () => {
  const { s, device } = nvme();
  s.setIrqs(device, { index: 2, eventfds: [-1] }).setIrqs(device, { index: 2 });
  setIrqsRaw(s, device, [s.eventfd(), { object: 0, fd: 55 }], 0, 0);
  assert.deepEqual(await judge(IRQ_004, s), ['pass']);
});

function noresize(flags: number) {
  const { s, device } = unasked();
  s.irqInfo(device, 2, 16, flags);
  const [first, second] = eventfds(s, 2) as [Opened, Opened];
  return { s, device, first, second, at: s.next };
}

test('IRQ-005: one more, later', async () => {
  const { s, device, first, second, at } = noresize(9);
  s.setIrqs(device, { index: 2, eventfds: [first] });
  s.setIrqs(device, { index: 2, start: 4, eventfds: [second], errno: EINVAL });
  assert.deepEqual(await judge(IRQ_005, s), ['fail', `warning MSIX @${at + 1},${at},${at - 3}`]);
});

test('IRQ-005: place-holders; torn down first; a kernel that adds vectors', async () => {
  const held = noresize(9);
  held.s.setIrqs(held.device, { index: 2, eventfds: [held.first, -1, -1, -1, -1] });
  held.s.setIrqs(held.device, { index: 2, start: 4, eventfds: [held.second] });
  assert.deepEqual(await judge(IRQ_005, held.s), ['pass']);
  const torn = noresize(9);
  torn.s.setIrqs(torn.device, { index: 2, eventfds: [torn.first] }).setIrqs(torn.device, { index: 2 });
  torn.s.setIrqs(torn.device, { index: 2, eventfds: [torn.first, torn.second] });
  assert.deepEqual(await judge(IRQ_005, torn.s), ['pass']);
  const newer = noresize(1);
  newer.s.setIrqs(newer.device, { index: 2, eventfds: [newer.first] });
  newer.s.setIrqs(newer.device, { index: 2, start: 4, eventfds: [newer.second] });
  assert.deepEqual(await judge(IRQ_005, newer.s), ['not applicable']);
});

test('IRQ-006: unmasking MSI-X, and masking INTx by an eventfd', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.setIrqs(device, { index: 2, flags: 0x11, count: 1, errno: ENOTTY });
  const fd = s.eventfd();
  s.setIrqs(device, { index: 0, flags: 0x0c, eventfds: [fd], errno: ENOTTY });
  assert.deepEqual(await judge(IRQ_006, s), [
    'fail',
    `error UNMASK MSIX @${at}`,
    `error MASK INTX @${at + 2}`,
  ]);
});

test('IRQ-006: INTx; and who does not mask MSI-X (DPDK) is not judged', async () => {
  const { s, device } = nvme();
  s.setIrqs(device, { index: 0, flags: 0x09, count: 1 }).setIrqs(device, { index: 0, flags: 0x11, count: 1 });
  s.setIrqs(device, { index: 0, flags: 0x14, eventfds: [s.eventfd()] });
  assert.deepEqual(await judge(IRQ_006, s), ['pass']);
  const none = nvme();
  none.s.setIrqs(none.device, { index: 2, eventfds: [none.s.eventfd()] });
  assert.deepEqual(await judge(IRQ_006, none.s), ['not applicable']);
});

/** An interrupt's eventfd; `waitNs`: how long each wait lasts. */
function waits(times: number, waitNs: number, read: number) {
  const { s, device } = nvme();
  const fd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [fd] });
  const at = s.next;
  for (let n = 1; n <= times; n++) {
    s.after(waitNs).event(
      { kind: EventKind.WAKE, object: fd.object, fd: fd.fd, op: 4, value: 1n, result: 1n },
      waitNs,
    );
    if (read > 0 && n % read === 0) s.readEventfd(fd);
  }
  return { s, device, fd, at };
}

test('IRQ-007: woken a thousand times, and never read', async () => {
  const { s, at } = waits(1000, 500, 0);
  assert.deepEqual(await judge(IRQ_007, s), ['fail', `warning MSIX[0] @${at + 999},${at}`]);
});

test('IRQ-007: read each time, or now and then; edge-triggered; KVM reads in the kernel', async () => {
  assert.deepEqual(await judge(IRQ_007, waits(1500, 500, 1).s), ['pass']);
  assert.deepEqual(await judge(IRQ_007, waits(1500, 500, 400).s), ['pass']);
  assert.deepEqual(await judge(IRQ_007, waits(1500, 100_000, 0).s), ['pass']);
  const { s, fd } = waits(0, 0, 0);
  const machine = s.open(KVM_VM, 'anon_inode:kvm-vm');
  const before = new Uint8Array(32);
  new DataView(before.buffer).setInt32(0, fd.fd, true);
  s.ioctl(machine, 'KVM_IRQFD', { before });
  for (let n = 0; n < 1500; n++) s.wake(fd);
  assert.deepEqual(await judge(IRQ_007, s), ['not applicable']);
});

test('IRQ-008: closed, and the device is used further', async () => {
  const { s, device } = nvme();
  const fd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [fd] });
  const at = s.next;
  s.close(fd);
  work(s, device, 300);
  assert.deepEqual(await judge(IRQ_008, s), ['fail', `error MSIX[0] @${at},${at + 300}`]);
});

test('IRQ-008: closed just before the end (selftests, DPDK, QEMU); switched off first; a copy is left', async () => {
  const late = nvme();
  const fd = late.s.eventfd();
  late.s.setIrqs(late.device, { index: 2, eventfds: [fd] }).close(fd);
  work(late.s, late.device, 20);
  late.s.setIrqs(late.device, { index: 2 });
  work(late.s, late.device, 300);
  assert.deepEqual(await judge(IRQ_008, late.s), ['pass']);
  const first = nvme();
  const one = first.s.eventfd();
  first.s
    .setIrqs(first.device, { index: 2, eventfds: [one] })
    .setIrqs(first.device, { index: 2 })
    .close(one);
  work(first.s, first.device, 300);
  assert.deepEqual(await judge(IRQ_008, first.s), ['pass']);
  const copied = nvme();
  const two = copied.s.eventfd();
  copied.s.dup(two);
  copied.s.setIrqs(copied.device, { index: 2, eventfds: [two] }).close(two);
  work(copied.s, copied.device, 300);
  assert.deepEqual(await judge(IRQ_008, copied.s), ['pass']);
});

test('IRQ-009: one eventfd for two vectors', async () => {
  const { s, device } = nvme();
  const fd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [fd, fd] });
  assert.deepEqual(await judge(IRQ_009, s), ['note', `note MSIX[1] @${s.next - 1}`]);
  assert.deepEqual(await judge(IRQ_009, s, { profile: 'test' }), ['off']);
});

test('IRQ-009: one each; the same again; moved to another vector', async () => {
  const { s, device } = nvme();
  const [first, second] = eventfds(s, 2) as [Opened, Opened];
  s.setIrqs(device, { index: 2, eventfds: [first, second] }).setIrqs(device, {
    index: 2,
    eventfds: [first, second],
  });
  s.setIrqs(device, { index: 2 }).setIrqs(device, { index: 1, eventfds: [first] });
  s.setIrqs(device, { index: 1, eventfds: [-1] }).setIrqs(device, { index: 4, eventfds: [first] });
  assert.deepEqual(await judge(IRQ_009, s), ['pass']);
});

test('IRQ-010: triggered by the driver', async () => {
  const { s, device } = nvme();
  s.setIrqs(device, { index: 2, eventfds: [s.eventfd()] }).setIrqs(device, { index: 2, count: 1 });
  assert.deepEqual(await judge(IRQ_010, s), ['note', `note MSIX @${s.next - 1}`]);
  for (const profile of ['test', 'vmm'] as const)
    assert.deepEqual(await judge(IRQ_010, s, { profile }), ['off']);
});

test('IRQ-010: by the device', async () => {
  const { s, device } = nvme();
  s.setIrqs(device, { index: 2, eventfds: [s.eventfd()] }).setIrqs(device, { index: 2 });
  assert.deepEqual(await judge(IRQ_010, s), ['pass']);
});

const E1000E = { vendor: 0x8086, device: 0x10d3, classCode: 0x020000 };

test('IRQ-011: the device was told a vector that is not there', async () => {
  const { s, device } = nvme(E1000E);
  s.setIrqs(device, { index: 2, eventfds: eventfds(s, 2) });
  const at = s.next;
  // RXQ0 by vector 3, TXQ0 by vector 1.
  s.store(device, 0, 0xe4, 4, 0x090b).close(device);
  assert.deepEqual(await judge(IRQ_011, s), ['fail', `warning IVAR 3 @${at}`]);
});

test('IRQ-011: told, and the device is reset in the end, as it should be', async () => {
  const { s, device } = nvme(E1000E);
  s.setIrqs(device, { index: 2, eventfds: eventfds(s, 2) });
  const at = s.next;
  // CTRL.RST.
  s.store(device, 0, 0xe4, 4, 0x090b).store(device, 0, 0, 4, 0x0400_0000).close(device);
  assert.deepEqual(await judge(IRQ_011, s), ['fail', `warning IVAR 3 @${at}`]);
});

test('IRQ-011: enabled later; not valid; polled, with no MSI-X at all', async () => {
  const later = nvme(E1000E);
  later.s
    .store(later.device, 0, 0xe4, 4, 0x090b)
    .setIrqs(later.device, { index: 2, eventfds: eventfds(later.s, 4) });
  assert.deepEqual(await judge(IRQ_011, later.s), ['pass']);
  const invalid = nvme(E1000E);
  invalid.s.setIrqs(invalid.device, { index: 2, eventfds: eventfds(invalid.s, 1) });
  invalid.s.store(invalid.device, 0, 0xe4, 4, 0x0703);
  const [status] = await judge(IRQ_011, invalid.s);
  assert.equal(status, 'pass');
  const polled = nvme(E1000E);
  polled.s.store(polled.device, 0, 0xe4, 4, 0x090b);
  assert.deepEqual(await judge(IRQ_011, polled.s), ['not applicable']);
});
