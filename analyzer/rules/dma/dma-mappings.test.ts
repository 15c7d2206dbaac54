// SPDX-License-Identifier: Apache-2.0
// What is mapped and how: DMA-006 to DMA-018.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '../../../abi/layout.js';
import { IOMMU_INFO } from '../../../abi/vfio/type1.js';
import { type Opened, RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { DMA_006 } from './dma-006-aligned.js';
import { DMA_007 } from './dma-007-sensible-size.js';
import { DMA_008 } from './dma-008-locked-memory.js';
import { DMA_009 } from './dma-009-no-overlap.js';
import { DMA_010 } from './dma-010-allowed-iovas.js';
import { DMA_011 } from './dma-011-unmap-exactly.js';
import { DMA_012 } from './dma-012-flags.js';
import { DMA_013 } from './dma-013-least-privilege.js';
import { DMA_014 } from './dma-014-entry-limit.js';
import { DMA_015 } from './dma-015-unmap-before-munmap.js';
import { DMA_016 } from './dma-016-fork.js';
import { DMA_017 } from './dma-017-space-first.js';
import { DMA_018 } from './dma-018-peer-to-peer.js';

const MIB = 0x10_0000n;
const GIB = 1n << 30n;
const [ENOENT, ENOMEM, EFAULT, EEXIST, EINVAL, ENOSPC] = [2, 12, 14, 17, 22, 28];

function nvme() {
  const s = new RecordedSession();
  return { s, ...s.openNvme() };
}

/** VFIO_IOMMU_GET_INFO with IOVA_RANGE 0 to 0xfedfffff and 0xfef00000 to 2^39-1, and so many mappings left. */
function iommuInfo(s: RecordedSession, container: Opened, available = 65535): number {
  const after = new Uint8Array(24 + 48 + 12);
  const view = new DataView(after.buffer);
  after.set(encode(IOMMU_INFO, { argsz: after.length, flags: 3, iova_pgsizes: 0x1000n, cap_offset: 24 }));
  after.set([1, 0, 1, 0, 72, 0, 0, 0, 2], 24);
  const bounds = [0n, 0xfedf_ffffn, 0xfef0_0000n, (1n << 39n) - 1n];
  bounds.forEach((bound, i) => {
    view.setBigUint64(24 + 16 + i * 8, bound, true);
  });
  after.set([3, 0, 1, 0], 72);
  view.setUint32(80, available, true);
  const before = encode(IOMMU_INFO, { argsz: after.length });
  s.ioctl(container, 'VFIO_IOMMU_GET_INFO', { before, after });
  return s.next - 1;
}

test('DMA-006: what is no page, and nothing', async () => {
  const { s, container } = nvme();
  const at = s.next;
  s.mapDma(container, { iova: 0n, size: 0x800n, errno: EINVAL });
  s.mapDma(container, { iova: 0n, size: 0n, errno: EINVAL });
  s.mapDma(container, { iova: 0x10n, vaddr: 0x7f00_0000_0010n, size: 0x1000n, errno: EINVAL });
  s.mapDma(container, { iova: 0xffff_ffff_ffff_f000n, vaddr: 0x1000n, size: 0x2000n, errno: EINVAL });
  assert.deepEqual(await judge(DMA_006, s), [
    'fail',
    `error size @${at}`,
    `error empty @${at + 1}`,
    `error address iova @${at + 2}`,
    `error wraps @${at + 3}`,
  ]);
});

test('DMA-006: whole pages; another reason for EINVAL; what was taken is taken', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: 0x1000n });
  s.mapDma(container, { iova: 0xfee0_0000n, size: 0x1000n, errno: EINVAL });
  // ixy rounds the size up, and its buffer begins anywhere: if that is refused it is reported, else nothing can be told.
  s.mapDma(container, { iova: 0x1000n, vaddr: 0x7f00_0000_0200n, size: 0x1000n });
  assert.deepEqual(await judge(DMA_006, s), ['pass']);
});

test('DMA-007: gigabytes in one call that takes its time, or fails', async () => {
  const { s, container } = nvme();
  const at = s.next;
  s.mapDma(container, { iova: 0n, size: 4n * GIB, durationNs: 3e9 });
  s.mapDma(container, { iova: 4n * GIB, size: 4n * GIB, errno: ENOMEM });
  assert.deepEqual(await judge(DMA_007, s), ['note', `note slow @${at}`, `note failed @${at + 1}`]);
});

test('DMA-007: thousands of crumbs', async () => {
  const { s, container } = nvme();
  const at = s.next;
  for (let n = 0n; n < 5000n; n++) s.mapDma(container, { iova: n * 0x1000n, size: 0x1000n });
  assert.deepEqual(await judge(DMA_007, s), ['note', `note many small @${at + 4095}`]);
});

test('DMA-007: huge pages are quick, a guest’s memory is a monitor’s matter, and crumbs that go again', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: 64n * GIB });
  for (let n = 0; n < 5000; n++)
    s.mapDma(container, { iova: 64n * GIB, size: 0x1000n }).unmapDma(container, {
      iova: 64n * GIB,
      size: 0x1000n,
    });
  assert.deepEqual(await judge(DMA_007, s), ['pass']);
  const guest = nvme();
  guest.s.mapDma(guest.container, { iova: 0n, size: 64n * GIB, durationNs: 20e9 });
  assert.deepEqual(await judge(DMA_007, guest.s, { profile: 'vmm' }), ['off']);
});

test('DMA-008: the address of what could not be locked', async () => {
  const { s, container, device } = nvme();
  const at = s.next;
  s.mapDma(container, { iova: 0n, size: MIB, errno: ENOMEM });
  s.store(device, 0, 0x28, 8, 0x1000n);
  assert.deepEqual(await judge(DMA_008, s), ['fail', `error ASQ @${at + 1},${at}`]);
});

test('DMA-008: less of it, or again after something was freed', async () => {
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB, errno: ENOMEM }).mapDma(container, { iova: 0n, size: 0x2000n });
  s.store(device, 0, 0x28, 8, 0x1000n);
  assert.deepEqual(await judge(DMA_008, s), ['pass']);
});

test('DMA-009: mapped over, refused, and on it goes', async () => {
  const { s, container, device } = nvme();
  s.mapDma(container, { iova: 0x10_0000n, size: 0x20_0000n });
  const at = s.next;
  s.mapDma(container, { iova: 0x20_0000n, vaddr: 0x7fa0_0000_0000n, size: 0x1000n, errno: EEXIST });
  s.store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_009, s), ['fail', `error overlap @${at},${at + 1}`]);
  s.close(device);
  assert.deepEqual((await judge(DMA_009, s))[0], 'fail');
  assert.deepEqual((await judge(DMA_009, s, { profile: 'test' }))[0], 'note');
});

test('DMA-009: another IOVA, room made, or given up', async () => {
  const vaddr = 0x7fa0_0000_0000n;
  const other = nvme();
  other.s.mapDma(other.container, { iova: 0n, vaddr, size: 0x1000n, errno: EEXIST });
  other.s
    .mapDma(other.container, { iova: 0x1000n, vaddr, size: 0x1000n })
    .store(other.device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_009, other.s), ['pass']);
  const room = nvme();
  room.s.mapDma(room.container, { iova: 0n, size: 0x1000n });
  room.s.mapDma(room.container, { iova: 0n, vaddr, size: 0x1000n, errno: EEXIST });
  room.s.unmapDma(room.container, { iova: 0n, size: 0x1000n });
  room.s.mapDma(room.container, { iova: 0n, vaddr, size: 0x1000n }).store(room.device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_009, room.s), ['pass']);
  const up = nvme();
  up.s.mapDma(up.container, { iova: 0n, size: 0x1000n, errno: EEXIST }).close(up.device).close(up.container);
  assert.deepEqual(await judge(DMA_009, up.s), ['pass']);
});

test('DMA-010: outside of what is allowed', async () => {
  const { s, container } = nvme();
  const info = iommuInfo(s, container);
  s.mapDma(container, { iova: 0xfee0_0000n, size: 0x1000n, errno: EINVAL });
  s.mapDma(container, { iova: 1n << 39n, size: 0x1000n, errno: EINVAL });
  assert.deepEqual(await judge(DMA_010, s), [
    'fail',
    `error outside x2 @${info + 1},${info},${info + 2},${info}`,
  ]);
});

test('DMA-010: the address of the process for an IOVA, and nobody asked', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0x7f12_0000_0000n, vaddr: 0x7f12_0000_0000n, size: 0x1000n });
  assert.deepEqual(await judge(DMA_010, s), ['note', `note never asked @${s.next - 1}`]);
});

test('DMA-010: inside; low and never asked; high, allowed by a wide IOMMU', async () => {
  const { s, container } = nvme();
  iommuInfo(s, container);
  s.mapDma(container, { iova: 0n, size: MIB }).mapDma(container, { iova: 0xfef0_0000n, size: MIB });
  // Taken although it is outside of what was told before another device left.
  s.mapDma(container, { iova: 0x7f12_0000_0000n, size: 0x1000n });
  assert.deepEqual(await judge(DMA_010, s), ['pass']);
  const low = nvme();
  low.s.mapDma(low.container, { iova: 0x10_0000n, size: MIB });
  assert.deepEqual(await judge(DMA_010, low.s), ['pass']);
});

test('DMA-011: a mapping would be cut', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB });
  const at = s.next;
  s.unmapDma(container, { iova: 0n, size: 0x1000n, errno: EINVAL });
  s.unmapDma(container, { iova: 0x1000n, size: MIB, errno: EINVAL });
  assert.deepEqual(await judge(DMA_011, s), ['fail', `error cut x2 @${at},${at + 1}`]);
});

test('DMA-011: type 1 before v2 says success, and does nothing, or more', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: MIB });
  const at = s.next;
  s.unmapDma(container, { iova: 0x1000n, size: 0x1000n, unmapped: 0n });
  s.unmapDma(container, { iova: 0n, size: 0x1000n, unmapped: MIB });
  assert.deepEqual(await judge(DMA_011, s), ['fail', `error nothing @${at}`, `error more @${at + 1}`]);
});

test('DMA-011: exact; several at once, with a hole; nothing there; all', async () => {
  const { s, container } = nvme();
  for (const iova of [0n, 0x1000n, 0x4000n]) s.mapDma(container, { iova, size: 0x1000n });
  s.unmapDma(container, { iova: 0n, size: 0x8000n, unmapped: 0x3000n });
  s.unmapDma(container, { iova: 0n, size: 0x8000n, unmapped: 0n });
  s.mapDma(container, { iova: 0n, size: 0x1000n }).unmapDma(container, { iova: 0n, size: 0x1000n });
  s.mapDma(container, { iova: 0n, size: 0x1000n });
  s.unmapDma(container, { iova: 0n, size: 0n, flags: 2, unmapped: 0x1000n });
  assert.deepEqual(await judge(DMA_011, s), ['pass']);
});

test('DMA-012: flags of the mapping for the unmapping, as ixy had them; no right; unknown ones', async () => {
  const { s, container } = nvme();
  const at = s.next;
  s.unmapDma(container, { iova: 0n, size: 0x1000n, flags: 3, errno: EINVAL });
  s.mapDma(container, { iova: 0n, size: 0x1000n, flags: 0, errno: EINVAL });
  s.mapDma(container, { iova: 0n, size: 0x1000n, flags: 0x13, errno: EINVAL });
  assert.deepEqual(await judge(DMA_012, s), [
    'fail',
    `error unmap 0x3 @${at}`,
    `error no right @${at + 1}`,
    `error map 0x13 @${at + 2}`,
  ]);
});

test('DMA-012: each flag that there is', async () => {
  const { s, container } = nvme();
  for (const flags of [1, 2, 3]) s.mapDma(container, { iova: BigInt(flags) << 12n, size: 0x1000n, flags });
  for (const flags of [0, 1, 4, 6, 2]) s.unmapDma(container, { iova: 0n, size: 0n, flags });
  s.mapDma(container, { iova: 0n, size: 0x1000n, flags: 4 });
  assert.deepEqual(await judge(DMA_012, s), ['pass']);
});

test('DMA-013: not for the device to write', async () => {
  const { s, container } = nvme();
  const at = s.next;
  s.mapDma(container, { iova: 0n, size: 0x1000n, errno: EFAULT });
  assert.deepEqual(await judge(DMA_013, s), ['note', `note not writable @${at}`]);
  assert.deepEqual(await judge(DMA_013, s, { profile: 'vmm' }), ['off']);
});

test('DMA-013: reading alone; an allocator that maps everything for both', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: 0x1000n, flags: 1 }).mapDma(container, { iova: 0x1000n, size: MIB });
  assert.deepEqual(await judge(DMA_013, s), ['pass']);
});

test('DMA-014: half of the limit, and all of it', async () => {
  const { s, container } = nvme();
  iommuInfo(s, container, 8);
  const at = s.next;
  for (let n = 0n; n < 6n; n++) s.mapDma(container, { iova: n * 0x1000n, size: 0x1000n });
  s.mapDma(container, { iova: MIB, size: 0x1000n, errno: ENOSPC });
  assert.deepEqual(await judge(DMA_014, s), ['fail', `warning half @${at + 4}`, `warning ENOSPC @${at + 6}`]);
});

test('DMA-014: SPDK maps each page of 2 MiB by itself', async () => {
  const { s, container } = nvme();
  iommuInfo(s, container);
  for (let n = 0n; n < 1024n; n++) s.mapDma(container, { iova: n << 21n, size: 2n * MIB });
  assert.deepEqual(await judge(DMA_014, s), ['pass']);
});

/** Memory of the process at this address is mapped for DMA, with a device that could reach it. */
function mapped(busMaster = true, running = true) {
  const opened = nvme();
  const { s, container, device } = opened;
  if (running) s.store(device, 0, 0x14, 4, 0x0046_0001);
  if (busMaster) s.configWrite(device, 4, 2, 0x0406);
  const address = s.memory(MIB);
  s.mapDma(container, { iova: 0n, vaddr: address, size: MIB });
  return { ...opened, address, at: s.next };
}

test('DMA-015: given away while it is mapped', async () => {
  const away = mapped();
  away.s.unmap(away.address, MIB);
  assert.deepEqual(await judge(DMA_015, away.s), ['fail', `error munmap @${away.at}`]);
  const dropped = mapped();
  dropped.s.madvise(dropped.address + 0x1000n, 0x1000n, 4);
  assert.deepEqual(await judge(DMA_015, dropped.s), ['fail', `error madvise @${dropped.at}`]);
  const over = mapped();
  over.s.memory(0x1000n, over.address, 0x32);
  assert.deepEqual(await judge(DMA_015, over.s), ['fail', `error mmap @${over.at}`]);
});

test('DMA-015: not known to run, and used afterwards', async () => {
  const { s, device, address, at } = mapped(true, false);
  s.unmap(address, MIB).store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(DMA_015, s), ['fail', `error munmap @${at},${at + 1}`]);
});

test('DMA-015: DPDK gives all away at its end, and the device is touched no more: a note', async () => {
  const { s, address, at } = mapped(true, false);
  s.unmap(address, MIB).exit();
  assert.deepEqual(await judge(DMA_015, s), ['note', `note munmap @${at}`]);
});

test('DMA-015: no device could reach it: a note', async () => {
  const off = mapped(false);
  off.s.unmap(off.address, MIB);
  assert.deepEqual(await judge(DMA_015, off.s), ['note', `note munmap @${off.at}`]);
  // As at an exit that closes the device first.
  const closed = mapped();
  closed.s.close(closed.device).unmap(closed.address, MIB);
  assert.deepEqual(await judge(DMA_015, closed.s), ['note', `note munmap @${closed.at + 1}`]);
});

test('DMA-015: unmapped first; beside it; advice that keeps it; addresses that were let go; a child’s own', async () => {
  const first = mapped();
  first.s.unmapDma(first.container, { iova: 0n, size: MIB }).unmap(first.address, MIB);
  assert.deepEqual(await judge(DMA_015, first.s), ['pass']);
  const beside = mapped();
  beside.s
    .unmap(beside.address + MIB, MIB)
    .madvise(beside.address, MIB, 10)
    .mprotect(beside.address, MIB, 1);
  assert.deepEqual(await judge(DMA_015, beside.s), ['pass']);
  const moved = mapped();
  moved.s.unmapDma(moved.container, { iova: 0n, size: 0n, flags: 6 }).unmap(moved.address, MIB);
  assert.deepEqual(await judge(DMA_015, moved.s), ['pass']);
  const child = mapped();
  child.s.process(2, 200, 100).thread(2, 2).unmap(child.address, MIB);
  assert.deepEqual(await judge(DMA_015, child.s), ['pass']);
});

test('DMA-016: a fork with private memory', async () => {
  const { s, at } = mapped();
  s.process(2, 200, 100).fork(200);
  assert.deepEqual(await judge(DMA_016, s), ['fail', `warning fork @${at}`]);
});

test('DMA-016: excepted, shared, or exec at once; and what was not recorded is unknown', async () => {
  const excepted = mapped();
  excepted.s.madvise(excepted.address, MIB, 10).fork(200);
  assert.deepEqual(await judge(DMA_016, excepted.s), ['pass']);
  const shared = nvme();
  const address = shared.s.memory(MIB, undefined, 0x21);
  shared.s.mapDma(shared.container, { iova: 0n, vaddr: address, size: MIB }).fork(200);
  assert.deepEqual(await judge(DMA_016, shared.s), ['pass']);
  const exec = mapped();
  exec.s.process(2, 200, 100).fork(200).thread(2, 2).event({ kind: 20, result: 0n });
  assert.deepEqual(await judge(DMA_016, exec.s), ['pass']);
  const spawned = mapped();
  spawned.s.event({ kind: 21, result: 200n, op: 3 });
  assert.deepEqual(await judge(DMA_016, spawned.s), ['pass']);
  const unknown = nvme();
  unknown.s.mapDma(unknown.container, { iova: 0n, size: MIB }).fork(200);
  assert.deepEqual(await judge(DMA_016, unknown.s), ['unknown']);
});

test('DMA-017: before the IOMMU is set, and into no address space', async () => {
  const s = new RecordedSession();
  const container = s.container();
  s.mapDma(container, { iova: 0n, size: 0x1000n, errno: EINVAL });
  assert.deepEqual(await judge(DMA_017, s), ['fail', 'error too early @1']);
  s.setIommu(container).mapDma(container, { iova: 0n, size: 0x1000n });
  assert.deepEqual(await judge(DMA_017, s), ['note', 'note too early @1']);
  const modern = new RecordedSession();
  const iommufd = modern.iommufd();
  modern.ioctl(iommufd, 'IOMMU_IOAS_MAP', { before: new Uint8Array(40), errno: ENOENT });
  assert.deepEqual(await judge(DMA_017, modern), ['fail', 'error too early @1']);
});

test('DMA-017: in order; refused for something else', async () => {
  const { s, container } = nvme();
  s.mapDma(container, { iova: 0n, size: 0x1000n, errno: EINVAL }).mapDma(container, {
    iova: 0n,
    size: 0x1000n,
  });
  assert.deepEqual(await judge(DMA_017, s), ['pass']);
});

test('DMA-018: a BAR among the buffers', async () => {
  const { s, container, device } = nvme();
  const bar = s.map(device, 0, 0x4000n);
  const at = s.next;
  s.mapDma(container, { iova: 0n, vaddr: bar, size: 0x4000n });
  assert.deepEqual(await judge(DMA_018, s), ['note', `note BAR0 @${at}`]);
  assert.deepEqual(await judge(DMA_018, s, { profile: 'vmm' }), ['off']);
});

test('DMA-018: memory', async () => {
  const { s, container, device } = nvme();
  const bar = s.map(device, 0, 0x4000n);
  s.mapDma(container, { iova: 0n, vaddr: bar + 0x10_0000n, size: 0x4000n });
  assert.deepEqual(await judge(DMA_018, s), ['pass']);
});
