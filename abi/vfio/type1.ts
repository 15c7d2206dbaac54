// SPDX-License-Identifier: Apache-2.0
/** ioctls of a container whose IOMMU is type 1 (linux/vfio.h; kernel: vfio_iommu_type1.c). */
import { type IoctlCall, ioctl, layoutParts, type Part, type PartValue, part } from '../ioctl.js';
import { decode, readU32, readU64, struct, u32, u64 } from '../layout.js';
import { flagTable } from '../names.js';
import { hex, hexBytes, size } from '../text.js';
import { capabilityPart } from './capability-chain.js';

export const IOMMU_INFO_FLAGS = flagTable('VFIO_IOMMU_INFO_', { PGSIZES: 1, CAPS: 2 });

export const IOMMU_INFO = struct('vfio_iommu_type1_info', 24, {
  argsz: u32(0),
  flags: u32(4, { flags: IOMMU_INFO_FLAGS, direction: 'out' }),
  iova_pgsizes: u64(8, { direction: 'out' }),
  cap_offset: u32(16, { direction: 'out', silent: true }),
});

export const DMA_MAP_FLAGS = flagTable('VFIO_DMA_MAP_FLAG_', { READ: 1, WRITE: 2, VADDR: 4 });

export const DMA_MAP = struct('vfio_iommu_type1_dma_map', 32, {
  argsz: u32(0),
  flags: u32(4, { flags: DMA_MAP_FLAGS }),
  vaddr: u64(8, { pointer: true }),
  iova: u64(16),
  size: u64(24, { size: true }),
});

export const DMA_UNMAP_FLAGS = flagTable('VFIO_DMA_UNMAP_FLAG_', { GET_DIRTY_BITMAP: 1, ALL: 2, VADDR: 4 });
export const DMA_UNMAP_GET_DIRTY_BITMAP = 1;
export const DMA_UNMAP_ALL = 2;
export const DMA_UNMAP_VADDR = 4;

/** `size` is what was asked for on the way in, and what was really unmapped on the way out. */
export const DMA_UNMAP = struct('vfio_iommu_type1_dma_unmap', 24, {
  argsz: u32(0),
  flags: u32(4, { flags: DMA_UNMAP_FLAGS }),
  iova: u64(8),
  size: u64(16, { size: true, direction: 'inout' }),
});

export const BITMAP = struct('vfio_bitmap', 24, {
  pgsize: u64(0, { size: true }),
  bitmap_size: u64(8, { size: true, c: 'size' }),
  data: u64(16, { pointer: true }),
});

export const DIRTY_PAGES_FLAGS = flagTable('VFIO_IOMMU_DIRTY_PAGES_FLAG_', {
  START: 1,
  STOP: 2,
  GET_BITMAP: 4,
});

export const DIRTY_BITMAP = struct('vfio_iommu_type1_dirty_bitmap', 8, {
  argsz: u32(0),
  flags: u32(4, { flags: DIRTY_PAGES_FLAGS }),
});

export const DIRTY_BITMAP_GET = struct('vfio_iommu_type1_dirty_bitmap_get', 40, {
  iova: u64(0),
  range: u64(8, { size: true, c: 'size' }),
  pgsize: u64(16, { size: true, c: 'bitmap.pgsize' }),
  bitmap_size: u64(24, { size: true, c: 'bitmap.size' }),
  data: u64(32, { pointer: true, c: 'bitmap.data' }),
});

export const IOMMU_CAP_IOVA_RANGE = 1;
export const IOMMU_CAP_MIGRATION = 2;
export const IOMMU_CAP_DMA_AVAIL = 3;

function infoCapability(id: number, bytes: Uint8Array): readonly [string, PartValue] {
  if (id === IOMMU_CAP_IOVA_RANGE && bytes.length >= 16) {
    const held = Math.min(readU32(bytes, 8), Math.floor((bytes.length - 16) / 16));
    const ranges = Array.from({ length: held }, (_, i) => ({
      start: readU64(bytes, 16 + i * 16),
      last: readU64(bytes, 24 + i * 16),
    }));
    const text = ranges.map(({ start, last }) => `${hex(start)}-${hex(last)}`).join(',');
    return [`IOVA_RANGE(${text})`, { id, ranges }];
  }
  if (id === IOMMU_CAP_MIGRATION && bytes.length >= 32) {
    const pgsize = readU64(bytes, 16);
    const bitmap = readU64(bytes, 24);
    return [
      `MIGRATION(pgsizes ${hex(pgsize)},bitmap ${size(bitmap)})`,
      { id, pgsizes: pgsize, max_bitmap: bitmap },
    ];
  }
  if (id === IOMMU_CAP_DMA_AVAIL && bytes.length >= 12) {
    return [`DMA_AVAIL(${readU32(bytes, 8)})`, { id, available: readU32(bytes, 8) }];
  }
  return [`capability ${id}`, { id }];
}

function infoParts(call: IoctlCall): readonly Part[] {
  if (call.after === undefined || call.errno !== 0) return [];
  const first = decode(IOMMU_INFO, call.after).cap_offset ?? 0;
  return capabilityPart(call.after, first, ({ id, bytes }) => infoCapability(id, bytes));
}

function unmapParts(call: IoctlCall): readonly Part[] {
  if (call.before === undefined) return [];
  const { flags = 0 } = decode(DMA_UNMAP, call.before);
  if ((flags & DMA_UNMAP_GET_DIRTY_BITMAP) === 0) return [];
  return [...tail(call, DMA_UNMAP.size, BITMAP), ...bitmapPart(call)];
}

function dirtyParts(call: IoctlCall): readonly Part[] {
  if (call.before === undefined) return [];
  const { flags = 0 } = decode(DIRTY_BITMAP, call.before);
  if ((flags & 4) === 0) return [];
  return [...tail(call, DIRTY_BITMAP.size, DIRTY_BITMAP_GET), ...bitmapPart(call)];
}

function tail(call: IoctlCall, from: number, layout: Parameters<typeof layoutParts>[0]): readonly Part[] {
  return layoutParts(layout, { ...call, before: call.before?.subarray(from), after: undefined });
}

function bitmapPart(call: IoctlCall): readonly Part[] {
  const bits = call.pointedAfter;
  return bits === undefined ? [] : [part('bitmap', hexBytes(bits), hexBytes(bits, 4096), true)];
}

export const TYPE1_IOCTLS = [
  ioctl('VFIO_IOMMU_GET_INFO', 0x3b70, IOMMU_INFO, { more: infoParts }),
  ioctl('VFIO_IOMMU_MAP_DMA', 0x3b71, DMA_MAP),
  ioctl('VFIO_IOMMU_UNMAP_DMA', 0x3b72, DMA_UNMAP, { more: unmapParts }),
  ioctl('VFIO_IOMMU_DIRTY_PAGES', 0x3b75, DIRTY_BITMAP, { more: dirtyParts }),
] as const;
