// SPDX-License-Identifier: Apache-2.0
/** Hardware page tables, dirty tracking and faults of an iommufd (linux/iommufd.h). */
import { type IoctlCall, ioctl, type Part, part } from '../ioctl.js';
import { s32, struct, u8, u32, u64 } from '../layout.js';
import { flagTable, valueTable } from '../names.js';
import { hexBytes } from '../text.js';

const size = u32(0);
const reserved = { hidden: true, c: '__reserved' } as const;

export const HWPT_FLAGS = flagTable('IOMMU_HWPT_', {
  ALLOC_NEST_PARENT: 1,
  ALLOC_DIRTY_TRACKING: 2,
  FAULT_ID_VALID: 4,
  ALLOC_PASID: 8,
});

export const HWPT_DATA_TYPES = valueTable('IOMMU_HWPT_DATA_', {
  NONE: 0,
  VTD_S1: 1,
  ARM_SMMUV3: 2,
  AMD_GUEST: 3,
});

/** 40 bytes in Linux 6.7, 48 with fault_id. */
export const HWPT_ALLOC = struct('iommu_hwpt_alloc', 48, {
  size,
  flags: u32(4, { flags: HWPT_FLAGS }),
  dev_id: u32(8),
  pt_id: u32(12),
  out_hwpt_id: u32(16, { direction: 'out' }),
  reserved: u32(20, reserved),
  data_type: u32(24, { values: HWPT_DATA_TYPES }),
  data_len: u32(28),
  data_uptr: u64(32, { pointer: true }),
  fault_id: u32(40, { hidden: true }),
  reserved2: u32(44, { hidden: true, c: '__reserved2' }),
});

export const HW_INFO_TYPES = valueTable('IOMMU_HW_INFO_TYPE_', {
  NONE: 0,
  INTEL_VTD: 1,
  ARM_SMMUV3: 2,
  TEGRA241_CMDQV: 3,
  AMD: 4,
});

export const HW_CAPABILITIES = flagTable('IOMMU_HW_CAP_', {
  DIRTY_TRACKING: 1,
  PCI_PASID_EXEC: 2,
  PCI_PASID_PRIV: 4,
  PCI_ATS_NOT_SUPPORTED: 8,
});

export const HW_INFO = struct('iommu_hw_info', 40, {
  size,
  flags: u32(4, { hex: true, hidden: true }),
  dev_id: u32(8),
  data_len: u32(12, { direction: 'inout' }),
  data_uptr: u64(16, { pointer: true }),
  out_data_type: u32(24, { values: HW_INFO_TYPES, direction: 'out' }),
  out_max_pasid_log2: u8(28, { direction: 'out' }),
  out_capabilities: u64(32, { flags: HW_CAPABILITIES, direction: 'out' }),
});

export const DIRTY_TRACKING_FLAGS = flagTable('IOMMU_HWPT_DIRTY_TRACKING_', { ENABLE: 1 });

export const HWPT_SET_DIRTY_TRACKING = struct('iommu_hwpt_set_dirty_tracking', 16, {
  size,
  flags: u32(4, { flags: DIRTY_TRACKING_FLAGS }),
  hwpt_id: u32(8),
  reserved: u32(12, reserved),
});

export const GET_DIRTY_BITMAP_FLAGS = flagTable('IOMMU_HWPT_GET_DIRTY_BITMAP_', { NO_CLEAR: 1 });

export const HWPT_GET_DIRTY_BITMAP = struct('iommu_hwpt_get_dirty_bitmap', 48, {
  size,
  hwpt_id: u32(4),
  flags: u32(8, { flags: GET_DIRTY_BITMAP_FLAGS }),
  reserved: u32(12, reserved),
  iova: u64(16),
  length: u64(24, { size: true }),
  page_size: u64(32, { size: true }),
  data: u64(40, { pointer: true }),
});

export const HWPT_INVALIDATE = struct('iommu_hwpt_invalidate', 32, {
  size,
  hwpt_id: u32(4),
  data_uptr: u64(8, { pointer: true }),
  data_type: u32(16),
  entry_len: u32(20),
  entry_num: u32(24, { direction: 'inout' }),
  reserved: u32(28, reserved),
});

export const FAULT_ALLOC = struct('iommu_fault_alloc', 16, {
  size,
  flags: u32(4, { hex: true, hidden: true }),
  out_fault_id: u32(8, { direction: 'out' }),
  out_fault_fd: s32(12, { direction: 'out' }),
});

/** The type-specific data that a call points to: shown as bytes. */
function pointedParts(call: IoctlCall): readonly Part[] {
  const parts: Part[] = [];
  if (call.pointedBefore !== undefined && call.pointedBefore.length > 0) {
    parts.push(part('bytes', hexBytes(call.pointedBefore), hexBytes(call.pointedBefore, 4096)));
  }
  if (call.pointedAfter !== undefined && call.pointedAfter.length > 0) {
    parts.push(part('bytes', hexBytes(call.pointedAfter), hexBytes(call.pointedAfter, 4096), true));
  }
  return parts;
}

export const HWPT_IOCTLS = [
  ioctl('IOMMU_HWPT_ALLOC', 0x3b89, HWPT_ALLOC, { more: pointedParts }),
  ioctl('IOMMU_GET_HW_INFO', 0x3b8a, HW_INFO, { more: pointedParts }),
  ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', 0x3b8b, HWPT_SET_DIRTY_TRACKING),
  ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', 0x3b8c, HWPT_GET_DIRTY_BITMAP, { more: pointedParts }),
  ioctl('IOMMU_HWPT_INVALIDATE', 0x3b8d, HWPT_INVALIDATE, { more: pointedParts }),
  ioctl('IOMMU_FAULT_QUEUE_ALLOC', 0x3b8e, FAULT_ALLOC),
] as const;
