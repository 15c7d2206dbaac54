// SPDX-License-Identifier: Apache-2.0
/** Virtual IOMMUs of an iommufd (linux/iommufd.h). */
import { ioctl } from '../ioctl.js';
import { s32, struct, u32, u64 } from '../layout.js';
import { valueTable } from '../names.js';

const size = u32(0);
const flags = u32(4, { hex: true, hidden: true });
const reserved = { hidden: true, c: '__reserved' } as const;

export const VIOMMU_TYPES = valueTable('IOMMU_VIOMMU_TYPE_', {
  DEFAULT: 0,
  ARM_SMMUV3: 1,
  TEGRA241_CMDQV: 2,
});

/** 24 bytes in Linux 6.13, 40 with the type-specific data. */
export const VIOMMU_ALLOC = struct('iommu_viommu_alloc', 40, {
  size,
  flags,
  type: u32(8, { values: VIOMMU_TYPES }),
  dev_id: u32(12),
  hwpt_id: u32(16),
  out_viommu_id: u32(20, { direction: 'out' }),
  data_len: u32(24),
  reserved: u32(28, reserved),
  data_uptr: u64(32, { pointer: true }),
});

export const VDEVICE_ALLOC = struct('iommu_vdevice_alloc', 24, {
  size,
  viommu_id: u32(4),
  dev_id: u32(8),
  out_vdevice_id: u32(12, { direction: 'out' }),
  virt_id: u64(16),
});

export const VEVENTQ_ALLOC = struct('iommu_veventq_alloc', 32, {
  size,
  flags,
  viommu_id: u32(8),
  type: u32(12),
  veventq_depth: u32(16),
  out_veventq_id: u32(20, { direction: 'out' }),
  out_veventq_fd: s32(24, { direction: 'out' }),
  reserved: u32(28, reserved),
});

export const HW_QUEUE_ALLOC = struct('iommu_hw_queue_alloc', 40, {
  size,
  flags,
  viommu_id: u32(8),
  type: u32(12),
  index: u32(16),
  out_hw_queue_id: u32(20, { direction: 'out' }),
  nesting_parent_iova: u64(24),
  length: u64(32, { size: true }),
});

export const VIOMMU_IOCTLS = [
  ioctl('IOMMU_VIOMMU_ALLOC', 0x3b90, VIOMMU_ALLOC),
  ioctl('IOMMU_VDEVICE_ALLOC', 0x3b91, VDEVICE_ALLOC),
  ioctl('IOMMU_VEVENTQ_ALLOC', 0x3b93, VEVENTQ_ALLOC),
  ioctl('IOMMU_HW_QUEUE_ALLOC', 0x3b94, HW_QUEUE_ALLOC),
] as const;
