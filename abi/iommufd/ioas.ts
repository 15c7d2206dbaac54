// SPDX-License-Identifier: Apache-2.0
/** I/O address spaces of an iommufd: allocation, mapping, options (linux/iommufd.h). */
import { type IoctlCall, ioctl, type Part, part } from '../ioctl.js';
import { decode, readU64, s32, struct, u16, u32, u64 } from '../layout.js';
import { flagTable, valueTable } from '../names.js';
import { hex } from '../text.js';

const size = u32(0);
const reserved = { hidden: true } as const;

export const DESTROY = struct('iommu_destroy', 8, { size, id: u32(4) });

export const IOAS_ALLOC = struct('iommu_ioas_alloc', 12, {
  size,
  flags: u32(4, { hex: true, hidden: true }),
  out_ioas_id: u32(8, { direction: 'out' }),
});

export const IOVA_RANGE = struct('iommu_iova_range', 16, { start: u64(0), last: u64(8) });

export const IOAS_IOVA_RANGES = struct('iommu_ioas_iova_ranges', 32, {
  size,
  ioas_id: u32(4),
  num_iovas: u32(8, { direction: 'inout' }),
  reserved: u32(12, { ...reserved, c: '__reserved' }),
  allowed_iovas: u64(16, { pointer: true }),
  out_iova_alignment: u64(24, { direction: 'out', size: true }),
});

export const IOAS_ALLOW_IOVAS = struct('iommu_ioas_allow_iovas', 24, {
  size,
  ioas_id: u32(4),
  num_iovas: u32(8),
  reserved: u32(12, { ...reserved, c: '__reserved' }),
  allowed_iovas: u64(16, { pointer: true }),
});

export const IOAS_MAP_FLAGS = flagTable('IOMMU_IOAS_MAP_', { FIXED_IOVA: 1, WRITEABLE: 2, READABLE: 4 });
export const IOAS_MAP_FIXED_IOVA = 1;

export const IOAS_MAP = struct('iommu_ioas_map', 40, {
  size,
  flags: u32(4, { flags: IOAS_MAP_FLAGS }),
  ioas_id: u32(8),
  reserved: u32(12, { ...reserved, c: '__reserved' }),
  user_va: u64(16, { pointer: true }),
  length: u64(24, { size: true }),
  iova: u64(32, { direction: 'inout' }),
});

export const IOAS_MAP_FILE = struct('iommu_ioas_map_file', 40, {
  size,
  flags: u32(4, { flags: IOAS_MAP_FLAGS }),
  ioas_id: u32(8),
  fd: s32(12),
  start: u64(16),
  length: u64(24, { size: true }),
  iova: u64(32, { direction: 'inout' }),
});

export const IOAS_COPY = struct('iommu_ioas_copy', 40, {
  size,
  flags: u32(4, { flags: IOAS_MAP_FLAGS }),
  dst_ioas_id: u32(8),
  src_ioas_id: u32(12),
  length: u64(16, { size: true }),
  dst_iova: u64(24, { direction: 'inout' }),
  src_iova: u64(32),
});

/** `length` comes back as the bytes really unmapped; 0 to 2^64-1 unmaps everything. */
export const IOAS_UNMAP = struct('iommu_ioas_unmap', 24, {
  size,
  ioas_id: u32(4),
  iova: u64(8),
  length: u64(16, { size: true, direction: 'inout' }),
});

export const OPTIONS = valueTable('IOMMU_OPTION_', { RLIMIT_MODE: 0, HUGE_PAGES: 1 });
export const OPTION_OPERATIONS = valueTable('IOMMU_OPTION_OP_', { SET: 0, GET: 1 });

export const OPTION = struct('iommu_option', 24, {
  size,
  option_id: u32(4, { values: OPTIONS }),
  op: u16(8, { values: OPTION_OPERATIONS }),
  reserved: u16(10, { ...reserved, c: '__reserved' }),
  object_id: u32(12),
  val64: u64(16, { direction: 'inout' }),
});

export const VFIO_IOAS_OPERATIONS = valueTable('IOMMU_VFIO_IOAS_', { GET: 0, SET: 1, CLEAR: 2 });

export const VFIO_IOAS = struct('iommu_vfio_ioas', 12, {
  size,
  ioas_id: u32(4, { direction: 'inout' }),
  op: u16(8, { values: VFIO_IOAS_OPERATIONS }),
  reserved: u16(10, { ...reserved, c: '__reserved' }),
});

export const IOAS_CHANGE_PROCESS = struct('iommu_ioas_change_process', 8, {
  size,
  reserved: u32(4, { ...reserved, c: '__reserved' }),
});

export const IOAS_NOIOMMU_GET_PA = struct('iommu_ioas_noiommu_get_pa', 40, {
  size,
  flags: u32(4, { hex: true, hidden: true }),
  ioas_id: u32(8),
  reserved: u32(12, { ...reserved, c: '__reserved' }),
  iova: u64(16),
  length: u64(24, { size: true, direction: 'inout' }),
  out_phys: u64(32, { direction: 'out' }),
});

function iovaRanges(bytes: Uint8Array | undefined, count: number, out: boolean): readonly Part[] {
  if (bytes === undefined) return [];
  const held = Math.min(count, Math.floor(bytes.length / IOVA_RANGE.size));
  const list = Array.from({ length: held }, (_, i) => ({
    start: readU64(bytes, i * 16),
    last: readU64(bytes, i * 16 + 8),
  }));
  const text = list.map(({ start, last }) => `${hex(start)}-${hex(last)}`).join(',');
  return [part('iovas', `[${text}]`, list, out)];
}

function answeredRanges(call: IoctlCall): readonly Part[] {
  if (call.after === undefined || call.errno !== 0) return [];
  return iovaRanges(call.pointedAfter, decode(IOAS_IOVA_RANGES, call.after).num_iovas ?? 0, true);
}

function allowedRanges(call: IoctlCall): readonly Part[] {
  if (call.before === undefined) return [];
  return iovaRanges(call.pointedBefore, decode(IOAS_ALLOW_IOVAS, call.before).num_iovas ?? 0, false);
}

export const IOAS_IOCTLS = [
  ioctl('IOMMU_DESTROY', 0x3b80, DESTROY),
  ioctl('IOMMU_IOAS_ALLOC', 0x3b81, IOAS_ALLOC),
  ioctl('IOMMU_IOAS_ALLOW_IOVAS', 0x3b82, IOAS_ALLOW_IOVAS, { more: allowedRanges }),
  ioctl('IOMMU_IOAS_COPY', 0x3b83, IOAS_COPY),
  ioctl('IOMMU_IOAS_IOVA_RANGES', 0x3b84, IOAS_IOVA_RANGES, { more: answeredRanges }),
  ioctl('IOMMU_IOAS_MAP', 0x3b85, IOAS_MAP),
  ioctl('IOMMU_IOAS_UNMAP', 0x3b86, IOAS_UNMAP),
  ioctl('IOMMU_OPTION', 0x3b87, OPTION),
  ioctl('IOMMU_VFIO_IOAS', 0x3b88, VFIO_IOAS),
  ioctl('IOMMU_IOAS_MAP_FILE', 0x3b8f, IOAS_MAP_FILE),
  ioctl('IOMMU_IOAS_CHANGE_PROCESS', 0x3b92, IOAS_CHANGE_PROCESS),
  ioctl('IOMMU_IOAS_NOIOMMU_GET_PA', 0x3b95, IOAS_NOIOMMU_GET_PA),
] as const;
