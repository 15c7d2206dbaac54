// SPDX-License-Identifier: Apache-2.0
/** A device bound to an iommufd, with a second process, a descriptor passed on, and a VMM's ioctls. */
import { FAULT_ALLOC, HW_INFO, HWPT_ALLOC } from '../../abi/iommufd/hwpt.js';
import { IOAS_ALLOC, IOAS_IOVA_RANGES, IOAS_MAP, IOAS_UNMAP, IOVA_RANGE } from '../../abi/iommufd/ioas.js';
import { IRQFD, USERSPACE_MEMORY_REGION } from '../../abi/kvm.js';
import { encode } from '../../abi/layout.js';
import { ATTACH_IOMMUFD_PT, BIND_IOMMUFD } from '../../abi/vfio/device.js';
import { DEVICE_FEATURE, FEATURE_DMA_LOGGING_CONTROL, FEATURE_MIG_STATE } from '../../abi/vfio/feature.js';
import { DEPENDENT_DEVICE, HOT_RESET, HOT_RESET_INFO } from '../../abi/vfio/hot-reset.js';
import { IRQ_SET } from '../../abi/vfio/irqs.js';
import { EventKind, ObjectKind, PayloadRole } from '../../traces/model.js';
import { join, SyntheticSession, text, words } from './builder.js';

export function iommufdSession(): SyntheticSession {
  const s = new SyntheticSession();
  const vmm = s.process({
    exe: '/usr/bin/qemu-system-x86_64',
    argv: ['qemu-system-x86_64', '-device', 'vfio-pci'],
  });
  s.addThread(vmm, { name: 'main' });
  const bdf = s.device({ bdf: '0000:01:00.0', vendor: 0x8086, device: 0x10d3, classCode: 0x020000 });
  const iommufd = s.object(ObjectKind.IOMMUFD, { path: '/dev/iommu' });
  const cdev = s.object(ObjectKind.CDEV, { path: '/dev/vfio/devices/vfio0', device: bdf });
  const kvm = s.object(ObjectKind.KVM_VM);
  const faults = s.object(ObjectKind.FAULT_QUEUE);

  s.open(iommufd, 10, '/dev/iommu', 0x80002);
  s.open(cdev, 11, '/dev/vfio/devices/vfio0');
  s.ioctl(cdev, 11, 0x3b76, {
    before: encode(BIND_IOMMUFD, { argsz: 16, iommufd: 10 }),
    after: encode(BIND_IOMMUFD, { argsz: 16, iommufd: 10, out_devid: 1 }),
  });
  s.ioctl(iommufd, 10, 0x3b81, {
    before: encode(IOAS_ALLOC, { size: 12 }),
    after: encode(IOAS_ALLOC, { size: 12, out_ioas_id: 2 }),
  });
  s.ioctl(cdev, 11, 0x3b77, {
    before: encode(ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: 2 }),
    after: encode(ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: 3 }),
  });
  const ranges = { size: 32, ioas_id: 2, num_iovas: 4, allowed_iovas: 0x7fff_0000_0000n };
  s.ioctl(iommufd, 10, 0x3b84, {
    before: encode(IOAS_IOVA_RANGES, ranges),
    after: encode(IOAS_IOVA_RANGES, { ...ranges, num_iovas: 2, out_iova_alignment: 4096n }),
    pointedOut: join(
      encode(IOVA_RANGE, { start: 0n, last: 0xfedf_ffffn }),
      encode(IOVA_RANGE, { start: 0xfef0_0000n, last: (1n << 64n) - 1n }),
    ),
  });
  const map = { size: 40, flags: 6, ioas_id: 2, user_va: 0x7fff_8000_0000n, length: 0x10_0000n };
  s.ioctl(iommufd, 10, 0x3b85, {
    before: encode(IOAS_MAP, map),
    after: encode(IOAS_MAP, { ...map, iova: 0xffff_ffff_fff0_0000n }),
  });
  s.ioctl(iommufd, 10, 0x3b86, {
    before: encode(IOAS_UNMAP, { size: 24, ioas_id: 2, iova: 0n, length: (1n << 64n) - 1n }),
    after: encode(IOAS_UNMAP, { size: 24, ioas_id: 2, iova: 0n, length: 0x10_0000n }),
  });
  s.ioctl(iommufd, 10, 0x3b8a, {
    before: encode(HW_INFO, { size: 40, dev_id: 1, data_len: 4, data_uptr: 0x1000n }),
    after: encode(HW_INFO, {
      size: 40,
      dev_id: 1,
      data_len: 24,
      data_uptr: 0x1000n,
      out_data_type: 1,
      out_capabilities: 1n,
    }),
    pointedOut: words(0xdead_beef),
  });
  s.ioctl(iommufd, 10, 0x3b89, {
    before: encode(HWPT_ALLOC, { size: 40, flags: 1, dev_id: 1, pt_id: 2 }, 40),
    after: encode(HWPT_ALLOC, { size: 40, flags: 1, dev_id: 1, pt_id: 2 }, 40),
    result: -1n,
    errno: 95,
  });
  s.ioctl(iommufd, 10, 0x3b8e, {
    before: encode(FAULT_ALLOC, { size: 16 }),
    after: encode(FAULT_ALLOC, { size: 16, out_fault_id: 4, out_fault_fd: 12 }),
  });
  s.transfer(EventKind.READ, faults, 12, 0n, 8, 0x1234n);

  s.ioctl(cdev, 11, 0x3b75, {
    before: join(
      encode(DEVICE_FEATURE, { argsz: 16, flags: 0x2_0002 }),
      encode(FEATURE_MIG_STATE, { device_state: 3 }),
    ),
    after: join(
      encode(DEVICE_FEATURE, { argsz: 16, flags: 0x2_0002 }),
      encode(FEATURE_MIG_STATE, { device_state: 3, data_fd: 13 }),
    ),
  });
  s.ioctl(cdev, 11, 0x3b75, {
    before: join(
      encode(DEVICE_FEATURE, { argsz: 32, flags: 0x2_0006 }),
      encode(FEATURE_DMA_LOGGING_CONTROL, { page_size: 4096n, num_ranges: 1, ranges: 0x2000n }),
    ),
    pointed: words(0, 0, 0x10_0000, 0),
  });
  s.ioctl(cdev, 11, 0x3b75, {
    before: new Uint8Array(24).fill(0),
    result: -1n,
    errno: 25,
    payloads: [{ role: PayloadRole.POINTED, data: new Uint8Array(0), flags: 2 }],
  });
  s.ioctl(cdev, 11, 0x3b70, {
    before: encode(HOT_RESET_INFO, { argsz: 28 }),
    after: join(
      encode(HOT_RESET_INFO, { argsz: 28, flags: 3, count: 2 }),
      encode(DEPENDENT_DEVICE, { group_id: 1, bus: 1, devfn: 0 }),
      encode(DEPENDENT_DEVICE, { group_id: 0xffff_ffff, bus: 1, devfn: 9 }),
    ),
  });
  s.ioctl(cdev, 11, 0x3b71, { before: encode(HOT_RESET, { argsz: 12 }) });

  const eventfd = s.eventfd(14);
  s.ioctl(cdev, 11, 0x3b6e, {
    before: join(encode(IRQ_SET, { argsz: 24, flags: 0x24, index: 0, count: 1 }), words(14)),
  });
  s.ioctl(kvm, 9, 0x4020ae76, { before: encode(IRQFD, { fd: 14, gsi: 24 }) });
  s.ioctl(kvm, 9, 0x4020ae46, {
    before: encode(USERSPACE_MEMORY_REGION, {
      slot: 3,
      flags: 2,
      guest_phys_addr: 0xfebf_0000n,
      memory_size: 0x2_0000n,
      userspace_addr: 0x7fff_a000_0000n,
    }),
  });
  s.add({ kind: EventKind.FORK, result: 4712n });
  const child = s.process({ pid: 4712, parentPid: 4711 });
  s.thread = s.addThread(child, { tid: 4712, name: 'child' });
  s.add({
    kind: EventKind.PROCESS,
    offset: 4712n,
    value: 4711n,
    duration: 0,
    payloads: [{ role: PayloadRole.ARGV, data: text('child\0') }],
  });
  // The child has the parent's descriptors.
  s.ioctl(cdev, 11, 0x3b6e, {
    before: join(encode(IRQ_SET, { argsz: 24, flags: 0x24, index: 2, count: 1 }), words(14)),
  });
  s.add({ kind: EventKind.WAKE, object: eventfd, fd: 14, op: 6, value: 1n, result: 1n });
  s.add({ kind: EventKind.SEND_FD, object: cdev, fd: 11, value: 99n, result: 1n });
  s.add({ kind: EventKind.RECV_FD, object: cdev, fd: 20, value: 99n, result: 1n });
  s.add({
    kind: EventKind.UNSEEN,
    object: cdev,
    fd: 21,
    payloads: [{ role: PayloadRole.PATH, data: text('/dev/vfio/devices/vfio1') }],
  });
  return s;
}
