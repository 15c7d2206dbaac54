// SPDX-License-Identifier: Apache-2.0
/** Whole sessions as mature drivers and monitors have them, held against every rule: docs/traps.md says what is odd about each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVM, KVM_VM } from '../../abi/object-kinds.js';
import { type Opened, RecordedSession } from '../../session/fixtures.js';
import { EventKind } from '../../traces/model.js';
import { walkCapabilities } from '../capability-walk.js';
import { findingsOf, nvme, statusesOf } from './session.js';

const MIB = 0x10_0000n;
const [ENOENT, ENODEV, EINVAL, ENOTTY, ENOSPC] = [2, 19, 22, 25, 28];

const worse = (findings: readonly string[]): readonly string[] =>
  findings.filter((text) => !text.startsWith('note '));

/** Queues in mapped memory from `iova` on, and the controller enabled. */
function enable(s: RecordedSession, device: Opened, iova: bigint): void {
  s.store(device, 0, 0x24, 4, 0x001f_001f);
  s.store(device, 0, 0x28, 8, iova).store(device, 0, 0x30, 8, iova + 0x1000n);
  s.store(device, 0, 0x14, 4, 0x0046_0001).load(device, 0, 0x1c, 4, 1);
}

test('ixy, libvfn: bus mastering first thing, no reset of their own, exit for clean-up: notes', async () => {
  const { s, container, device } = nvme();
  s.configRead(device, 4, 2, 0x0402).configWrite(device, 4, 2, 0x0406);
  s.map(device, 0, 0x4000n);
  s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0);
  s.mapDma(container, { iova: 0n, size: 2n * MIB });
  enable(s, device, 0n);
  for (let n = 1; n < 50; n++) s.store(device, 0, 0x1000, 4, n);
  s.exit();
  // The table lies in the mapping, and nobody asked.
  assert.deepEqual(worse(await findingsOf(s)), ['warning MSI-007']);
});

test('SPDK: 32 bits at Command with Status, 2 MiB at a time, a handler for SIGBUS', async () => {
  const { s, container, device } = nvme();
  for (let n = 0n; n < 64n; n++) s.mapDma(container, { iova: n * 2n * MIB, size: 2n * MIB });
  walkCapabilities(s, device);
  s.map(device, 0, 0x2000n);
  s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0);
  s.configRead(device, 4, 4, 0x0010_0402).configWrite(device, 4, 4, 0x0010_0406);
  enable(s, device, 0n);
  for (let n = 1; n < 50; n++) s.store(device, 0, 0x1000, 4, n);
  s.store(device, 0, 0x14, 4, 0x0046_0000).load(device, 0, 0x1c, 4, 0);
  s.configRead(device, 4, 4, 0x0010_0406).configWrite(device, 4, 4, 0x0010_0402);
  for (let n = 0n; n < 64n; n++) s.unmapDma(container, { iova: n * 2n * MIB, size: 2n * MIB });
  s.exit();
  assert.deepEqual(worse(await findingsOf(s)), []);
});

test('DPDK: a secondary process maps BARs by a descriptor that came over a socket; eventfd closed, released, unmapped', async () => {
  const { s, container, device } = nvme();
  s.process(2, 101, 1);
  s.mapDma(container, { iova: 0n, size: 2n * MIB });
  walkCapabilities(s, device);
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  const bar = s.map(device, 0, 0x2000n);
  s.configRead(device, 4, 2, 0x0402).configWrite(device, 4, 2, 0x0406).reset(device);
  s.thread(2, 2).event({ kind: EventKind.RECV_FD, object: device.object, fd: 5 });
  s.map({ object: device.object, fd: 5 }, 0, 0x2000n);
  s.load(device, 0, 0x1c, 4, 0).exit().thread(1);
  s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0);
  s.setIrqs(device, { index: 2 }).close(eventfd);
  s.configRead(device, 4, 2, 0x0406).configWrite(device, 4, 2, 0x0402);
  s.close(device)
    .unmap(bar, 0x2000n)
    .unmapDma(container, { iova: 0n, size: 2n * MIB })
    .exit();
  assert.deepEqual(worse(await findingsOf(s)), []);
});

test('QEMU: what a guest writes, BARs zeroed after a reset, MSI-X without vectors, interrupts that KVM takes', async () => {
  const s = new RecordedSession({}, '/usr/bin/qemu-system-x86_64');
  s.open(KVM, '/dev/kvm');
  const machine = s.open(KVM_VM, 'anon_inode:kvm-vm');
  const { container, device } = s.openNvme();
  const bar = s.map(device, 0, 0x4000n);
  s.mapDma(container, { iova: 0n, size: 1024n * MIB });
  // Peer to peer, and it is tolerated that it fails.
  s.mapDma(container, { iova: 0xfe00_0000n, vaddr: bar, size: 0x4000n, errno: EINVAL });
  s.reset(device);
  for (const at of [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24]) s.configWrite(device, at, 4, 0);
  s.configWrite(device, 0x10, 4, 0xffff_ffff).configWrite(device, 0x10, 4, 0xfe00_0004);
  s.configWrite(device, 4, 2, 0x0506).configWrite(device, 0x3c, 1, 11);
  s.configWrite(device, 0x54, 4, 0xfee0_0000).configWrite(device, 0x72, 2, 0xc00f);
  s.setIrqs(device, { index: 2, eventfds: [-1] });
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  const before = new Uint8Array(32);
  new DataView(before.buffer).setInt32(0, eventfd.fd, true);
  s.ioctl(machine, 'KVM_IRQFD', { before });
  for (let n = 0; n < 1500; n++) s.wake(eventfd);
  s.configWrite(device, 0x88, 2, 0xa810).exit();
  assert.deepEqual(worse(await findingsOf(s)), []);
});

test('a driver that probes for what there is, and heeds the answer', async () => {
  const { s, container, device, group } = nvme();
  s.irqInfo(device, 3, 0, 0, EINVAL).regionInfo(device, 8, { size: 0n, flags: 0 });
  s.ioctl(device, 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', { before: new Uint8Array(12), errno: ENOSPC });
  s.feature(device, 3, ENOTTY).setIrqs(device, { index: 1, errno: EINVAL });
  s.unmapDma(container, { iova: 0n, size: MIB, unmapped: 0n });
  s.unmapDma(container, { iova: 0n, size: MIB, errno: ENOENT });
  s.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', { errno: ENODEV });
  s.close(device).close(group).close(container).exit();
  assert.deepEqual(worse(await findingsOf(s)), []);
});

test('threads: another one maps, another one switches bus mastering on', async () => {
  const { s, container, device } = nvme();
  s.thread(2).mapDma(container, { iova: 0n, size: MIB });
  walkCapabilities(s.thread(3), device);
  s.map(device, 0, 0x2000n);
  s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0);
  s.thread(1).configRead(device, 4, 2, 0x0402).configWrite(device, 4, 2, 0x0406);
  s.thread(4);
  enable(s, device, 0n);
  s.store(device, 0, 0x1000, 4, 1);
  s.thread(2).store(device, 0, 0x14, 4, 0x0046_0000).load(device, 0, 0x1c, 4, 0);
  s.thread(1).configRead(device, 4, 2, 0x0406).configWrite(device, 4, 2, 0x0402);
  s.thread(3).unmapDma(container, { iova: 0n, size: MIB });
  assert.deepEqual(worse(await findingsOf(s.thread(1).exit())), []);
});

test('a recorder that came late: what was before is unknown, and nothing is held against the driver', async () => {
  const s = new RecordedSession();
  const device = s.unseenDevice();
  s.configRead(device, 4, 2, 0x0406).configWrite(device, 4, 2, 0x0406);
  for (let n = 1; n < 50; n++) s.store(device, 0, 0x1000, 4, n).load(device, 0, 0x1c, 4, 1);
  s.close(device).exit();
  assert.deepEqual(worse(await findingsOf(s)), []);
  const statuses = await statusesOf(s);
  for (const id of ['RST-001', 'BAR-001', 'DMA-001']) assert.notEqual(statuses.get(id), 'pass', id);
});

test('a client of vfio-user makes no VFIO call: no rule passes for it', async () => {
  const s = new RecordedSession();
  s.memory(MIB);
  s.exit();
  assert.deepEqual(await findingsOf(s), []);
  const passed = [...(await statusesOf(s))].filter(([, status]) => status === 'pass').map(([id]) => id);
  assert.deepEqual(passed, []);
});
