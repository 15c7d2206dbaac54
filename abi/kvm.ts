// SPDX-License-Identifier: Apache-2.0
/**
 * The few KVM ioctls that touch a VFIO device: an interrupt given to the guest directly, a doorbell that KVM answers,
 * and the memory slots that put a BAR into the guest (linux/kvm.h).
 */
import { ioctl } from './ioctl.js';
import { s32, struct, u32, u64 } from './layout.js';
import { flagTable } from './names.js';

export const IRQFD_FLAGS = flagTable('KVM_IRQFD_FLAG_', { DEASSIGN: 1, RESAMPLE: 2 });

/** From here on the eventfd goes to KVM: the interrupt can't be observed in the driver any more. */
export const IRQFD = struct('kvm_irqfd', 32, {
  fd: s32(0),
  gsi: u32(4),
  flags: u32(8, { flags: IRQFD_FLAGS }),
  resamplefd: s32(12),
});

export const IOEVENTFD_FLAGS = flagTable('KVM_IOEVENTFD_FLAG_', {
  DATAMATCH: 1,
  PIO: 2,
  DEASSIGN: 4,
  VIRTIO_CCW_NOTIFY: 8,
});

export const KVM_IOEVENTFD = struct('kvm_ioeventfd', 64, {
  datamatch: u64(0),
  addr: u64(8),
  len: u32(16),
  fd: s32(20),
  flags: u32(24, { flags: IOEVENTFD_FLAGS }),
});

export const MEMORY_FLAGS = flagTable('KVM_MEM_', { LOG_DIRTY_PAGES: 1, READONLY: 2 });

export const USERSPACE_MEMORY_REGION = struct('kvm_userspace_memory_region', 32, {
  slot: u32(0),
  flags: u32(4, { flags: MEMORY_FLAGS }),
  guest_phys_addr: u64(8),
  memory_size: u64(16, { size: true }),
  userspace_addr: u64(24, { pointer: true }),
});

const machineType = { kind: 'value', name: 'type', field: u64(0) } as const;
const extension = { kind: 'value', name: 'capability', field: u32(0) } as const;

export const KVM_IOCTLS = [
  ioctl('KVM_GET_API_VERSION', 0xae00, undefined, { returns: 'number' }),
  ioctl('KVM_CREATE_VM', 0xae01, machineType, { returns: 'fd' }),
  ioctl('KVM_CHECK_EXTENSION', 0xae03, extension, { returns: 'number' }),
] as const;

export const KVM_VM_IOCTLS = [
  ioctl('KVM_CHECK_EXTENSION', 0xae03, extension, { returns: 'number' }),
  ioctl('KVM_SET_USER_MEMORY_REGION', 0x4020ae46, USERSPACE_MEMORY_REGION),
  ioctl('KVM_IRQFD', 0x4020ae76, IRQFD),
  ioctl('KVM_IOEVENTFD', 0x4040ae79, KVM_IOEVENTFD),
] as const;
