// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_GET_REGION_INFO and its capability chain (linux/vfio.h). */
import type { IoctlCall, Part, PartValue } from '../ioctl.js';
import { decode, readU32, readU64, struct, u32, u64 } from '../layout.js';
import { flagTable } from '../names.js';
import { hex } from '../text.js';
import { capabilityPart } from './capability-chain.js';
import { REGION_INDEXES } from './regions.js';

export const REGION_FLAGS = flagTable('VFIO_REGION_INFO_FLAG_', { READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 });

export const REGION_INFO = struct('vfio_region_info', 32, {
  argsz: u32(0),
  flags: u32(4, { flags: REGION_FLAGS, direction: 'out' }),
  index: u32(8, { values: REGION_INDEXES }),
  cap_offset: u32(12, { direction: 'out', silent: true }),
  size: u64(16, { direction: 'out', size: true }),
  offset: u64(24, { direction: 'out' }),
});

export const REGION_CAP_SPARSE_MMAP = 1;
export const REGION_CAP_TYPE = 2;
export const REGION_CAP_MSIX_MAPPABLE = 3;

export interface SparseArea {
  readonly offset: bigint;
  readonly size: bigint;
}

/** Areas of a SPARSE_MMAP capability: only these may be mapped. */
export function sparseAreas(bytes: Uint8Array): readonly SparseArea[] {
  if (bytes.length < 16) return [];
  const areas: SparseArea[] = [];
  const count = Math.min(readU32(bytes, 8), Math.floor((bytes.length - 16) / 16));
  for (let i = 0; i < count; i++)
    areas.push({ offset: readU64(bytes, 16 + i * 16), size: readU64(bytes, 24 + i * 16) });
  return areas;
}

function capability(id: number, bytes: Uint8Array): readonly [string, PartValue] {
  switch (id) {
    case REGION_CAP_SPARSE_MMAP: {
      const areas = sparseAreas(bytes);
      const text = areas.map((area) => `${hex(area.offset)}-${hex(area.offset + area.size)}`).join(',');
      return [`SPARSE_MMAP(${text})`, { id, areas: areas.map(({ offset, size }) => ({ offset, size })) }];
    }
    case REGION_CAP_TYPE:
      if (bytes.length < 16) return ['TYPE(cut)', { id }];
      return [
        `TYPE(${hex(readU32(bytes, 8))},${readU32(bytes, 12)})`,
        { id, type: readU32(bytes, 8), subtype: readU32(bytes, 12) },
      ];
    case REGION_CAP_MSIX_MAPPABLE:
      return ['MSIX_MAPPABLE', { id }];
    case 4:
      return ['NVLINK2_SSATGT', { id }];
    case 5:
      return ['NVLINK2_LNKSPD', { id }];
    default:
      return [`capability ${id}`, { id }];
  }
}

export function regionInfoParts(call: IoctlCall): readonly Part[] {
  if (call.after === undefined || call.errno !== 0) return [];
  const first = decode(REGION_INFO, call.after).cap_offset ?? 0;
  return capabilityPart(call.after, first, ({ id, bytes }) => capability(id, bytes));
}
