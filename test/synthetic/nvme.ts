// SPDX-License-Identifier: Apache-2.0
/** What QEMU's NVMe driver does to its device, and some of what it does not: two threads, every common call. */
import { encode } from '../../abi/layout.js';
import { DEVICE_INFO } from '../../abi/vfio/device-info.js';
import { GROUP_STATUS } from '../../abi/vfio/group.js';
import { IRQ_INFO, IRQ_SET } from '../../abi/vfio/irqs.js';
import { REGION_INFO } from '../../abi/vfio/region-info.js';
import { DMA_MAP, DMA_UNMAP, IOMMU_INFO } from '../../abi/vfio/type1.js';
import { EventFlag, EventKind, ObjectKind, PayloadRole } from '../../traces/model.js';
import { join, SyntheticSession, text, words } from './builder.js';

const BAR0 = 0n;
const CONFIG = 7n << 40n;
const EINVAL = 22;

/** A header with PM, MSI-X and PCI Express behind it, and AER and a hidden capability in extended space. */
export function nvmeConfig(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x00, 0x0010_1b36, true);
  view.setUint32(0x04, 0x0010_0000, true);
  view.setUint32(0x08, 0x0108_0202, true);
  view.setUint32(0x10, 0xfebf_0004, true);
  view.setUint32(0x2c, 0x1100_1af4, true);
  bytes[0x34] = 0x40;
  bytes.set([0x11, 0x80, 0x40, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x30, 0x00, 0x00], 0x40);
  bytes.set([0x01, 0x60, 0x03, 0x00], 0x80);
  bytes.set([0x10, 0x00, 0x02, 0x00, 0x00, 0x80, 0x00, 0x10], 0x60);
  view.setUint32(0x100, 0x1401_0001 | (2 << 16), true);
  view.setUint32(0x140, 0x0001_0000, true);
  return bytes;
}

export function nvmeSession(): SyntheticSession {
  const s = new SyntheticSession();
  const process = s.process();
  s.addThread(process);
  s.addThread(process, { name: 'completion' });
  const bdf = s.device({ config: nvmeConfig() });
  const driver = s.module();
  s.site = s.addSite(driver, 0x1234n);
  const container = s.object(ObjectKind.CONTAINER, { path: '/dev/vfio/vfio' });
  const group = s.object(ObjectKind.GROUP, { path: '/dev/vfio/7' });
  const device = s.object(ObjectKind.DEVICE, { path: '0000:00:04.0', parent: group, device: bdf });

  s.add({
    kind: EventKind.PROCESS,
    offset: 4711n,
    value: 4000n,
    duration: 0,
    payloads: [
      { role: PayloadRole.EXE, data: text('/usr/bin/driver') },
      { role: PayloadRole.ARGV, data: text('./driver\0nvme://0000:00:04.0/1\0--a b\0') },
    ],
  });
  s.add({
    kind: EventKind.THREAD,
    offset: 4711n,
    value: 4711n,
    duration: 0,
    payloads: [{ role: PayloadRole.NAME, data: text('driver') }],
  });
  s.open(container, 3, '/dev/vfio/vfio');
  s.ioctl(container, 3, 0x3b64);
  s.ioctl(container, 3, 0x3b65, { value: 3n, result: 1n });
  s.open(group, 4, '/dev/vfio/7');
  s.ioctl(group, 4, 0x3b67, {
    before: encode(GROUP_STATUS, { argsz: 8 }),
    after: encode(GROUP_STATUS, { argsz: 8, flags: 1 }),
  });
  s.ioctl(group, 4, 0x3b68, { before: words(3) });
  s.ioctl(container, 3, 0x3b66, { value: 3n, duration: 1_203_000 });
  s.ioctl(group, 4, 0x3b6a, {
    before: text('0000:00:04.0\0'),
    result: 5n,
    returned: device,
    duration: 87_654_321,
  });
  s.ioctl(device, 5, 0x3b6b, {
    before: encode(DEVICE_INFO, { argsz: 24 }),
    after: encode(DEVICE_INFO, { argsz: 24, flags: 3, num_regions: 9, num_irqs: 5 }),
  });

  const region0 = { flags: 15, index: 0, cap_offset: 32, size: 0x4000n, offset: BAR0 };
  s.ioctl(device, 5, 0x3b6c, {
    before: encode(REGION_INFO, { argsz: 32, index: 0 }),
    after: encode(REGION_INFO, { argsz: 88, ...region0, cap_offset: 0 }),
  });
  const sparse = [1 | (1 << 16), 80, 2, 0, 0, 0, 0x2000, 0, 0x3000, 0, 0x1000, 0];
  s.ioctl(device, 5, 0x3b6c, {
    before: join(encode(REGION_INFO, { argsz: 88, index: 0 }), new Uint8Array(56)),
    after: join(encode(REGION_INFO, { argsz: 88, ...region0 }), words(...sparse), words(3 | (1 << 16), 0)),
  });
  s.ioctl(device, 5, 0x3b6c, {
    before: encode(REGION_INFO, { argsz: 32, index: 7 }),
    after: encode(REGION_INFO, { argsz: 32, flags: 3, index: 7, size: 4096n, offset: CONFIG }),
  });
  s.ioctl(device, 5, 0x3b6d, {
    before: encode(IRQ_INFO, { argsz: 16, index: 2 }),
    after: encode(IRQ_INFO, { argsz: 16, flags: 9, index: 2, count: 65 }),
  });

  s.transfer(EventKind.READ, device, 5, CONFIG, 4, 0x0010_1b36n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 4n, 2, 0n);
  s.transfer(EventKind.WRITE, device, 5, CONFIG + 4n, 2, 0x0406n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 5n, 1, 0x04n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 0x42n, 2, 0x8040n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 0x44n, 4, 0x2000n);
  s.transfer(EventKind.WRITE, device, 5, CONFIG + 0x84n, 4, 0x0003n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 0x68n, 4, 0x0000_2810n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 0x100n, 4, 0x1402_0001n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 0x104n, 4, 0x0010_0000n);
  s.transfer(EventKind.READ, device, 5, CONFIG + 0x200n, 4, 0n);
  s.add({
    kind: EventKind.READ,
    object: device,
    fd: 5,
    op: 256,
    offset: CONFIG,
    result: 64n,
    value: 0x0010_0000_0010_1b36n,
    payloads: [{ role: PayloadRole.DATA, data: nvmeConfig().subarray(0, 64) }],
  });

  s.add({
    kind: EventKind.MMAP,
    object: device,
    fd: 5,
    op: 3 | (1 << 8),
    offset: BAR0,
    value: 0x2000n,
    result: 0x7fff_f7fb_0000n,
  });
  s.ioctl(container, 3, 0x3b70, {
    before: join(encode(IOMMU_INFO, { argsz: 24 })),
    after: join(
      encode(IOMMU_INFO, { argsz: 80, flags: 3, iova_pgsizes: 0xffff_ffff_ffff_f000n, cap_offset: 24 }),
      words(1 | (1 << 16), 56, 1, 0, 0, 0, 0xfedf_ffff, 0),
      words(3 | (1 << 16), 0, 65535, 0),
    ),
  });
  s.ioctl(container, 3, 0x3b71, {
    before: encode(DMA_MAP, {
      argsz: 32,
      flags: 3,
      vaddr: 0x7fff_e000_0000n,
      iova: 0x10_0000n,
      size: 0x20_0000n,
    }),
    duration: 42_100,
  });
  s.ioctl(container, 3, 0x3b71, {
    before: encode(DMA_MAP, { argsz: 32, flags: 0x47, vaddr: 1n, iova: 0x10_0000n, size: 0x1001n }),
    result: -1n,
    errno: EINVAL,
  });
  const eventfd = s.eventfd(6);
  s.ioctl(device, 5, 0x3b6e, {
    before: join(encode(IRQ_SET, { argsz: 28, flags: 0x24, index: 2, start: 0, count: 2 }), words(6, -1)),
  });

  s.site = s.addSite(driver, 0x2000n);
  const access = (region: number, width: number) => region | (width << 8) | (1 << 16);
  const mmio = { object: device, op: access(0, 4), duration: 0 };
  s.add({ kind: EventKind.LOAD, ...mmio, op: access(0, 8), offset: 0n, value: 0x0000_0021_1e01_07ffn });
  s.add({ kind: EventKind.STORE, ...mmio, offset: 0x24n, value: 0x003f_001fn });
  s.add({ kind: EventKind.STORE, ...mmio, offset: 0x2cn, value: 1n });
  s.add({ kind: EventKind.LOAD, ...mmio, offset: 0x1cn, value: 1n });
  s.add({ kind: EventKind.STORE, ...mmio, offset: 0x1018n, value: 5n });
  s.add({ kind: EventKind.LOAD, ...mmio, offset: 0x200cn, value: 1n });
  s.add({ kind: EventKind.STORE, ...mmio, offset: 0x1000n, value: 2n });
  s.add({ kind: EventKind.UPDATE, ...mmio, offset: 0x14n, value: 0x0046_0001n, result: 0x0046_0000n });
  s.add({ kind: EventKind.LOAD, ...mmio, offset: 0x18n, flags: EventFlag.INTENT });

  s.thread = 2;
  s.site = s.addSite(0, 0n, { address: 0x7fff_f000_1234n });
  s.add({ kind: EventKind.WAKE, object: eventfd, fd: 6, op: 1, value: 1n, result: 1n, duration: 12_304_000 });
  s.add({ kind: EventKind.READ, object: eventfd, fd: 6, op: 8, value: 1n, result: 8n });
  s.add({ kind: EventKind.READ, object: eventfd, fd: 6, op: 8, result: -1n, errno: 11 });
  s.thread = 1;
  s.site = 0;

  s.ioctl(device, 5, 0x3b6f, { result: -1n, errno: EINVAL });
  s.ioctl(device, 5, 0x3bff, { value: 0x7ffe_0000_1000n, before: words(1, 2, 3), result: -1n, errno: 25 });
  s.ioctl(device, 5, 0x3b6e, { before: encode(IRQ_SET, { argsz: 20, flags: 0x21, index: 2 }) });
  s.add({ kind: EventKind.WAKE, object: eventfd, fd: 6, op: 4, value: 0x11n, result: 1n });
  s.ioctl(container, 3, 0x3b72, {
    before: encode(DMA_UNMAP, { argsz: 24, iova: 0x10_0000n, size: 0x40_0000n }),
    after: encode(DMA_UNMAP, { argsz: 24, iova: 0x10_0000n, size: 0x20_0000n }),
  });
  s.add({ kind: EventKind.MUNMAP, offset: 0x7fff_f7fb_1000n, value: 0x1000n });
  s.add({ kind: EventKind.MADVISE, offset: 0x7fff_e000_0000n, value: 0x20_0000n, op: 4 });
  s.add({ kind: EventKind.LOST, offset: 12n, value: 3n, result: 4096n, op: 0, duration: 0 });
  s.add({ kind: EventKind.CLOSE, object: device, fd: 5 });
  s.add({ kind: EventKind.CLOSE, object: eventfd, fd: 6, op: 1, offset: 0xffff_ffffn });
  s.add({ kind: EventKind.FORK, op: 2, result: 4800n });
  s.add({ kind: EventKind.EXEC, duration: 0, payloads: [{ role: PayloadRole.PATH, data: text('/bin/sh') }] });
  s.add({ kind: EventKind.SIGNAL, op: 7, value: 2n, offset: 0x7fff_f7fb_0000n, duration: 0 });
  s.add({ kind: EventKind.EXIT, op: 3, duration: 0 });
  s.add({ kind: 77, op: 1, offset: 2n, value: 3n, result: 4n });
  return s;
}
