// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_FEATURE: one ioctl with a structure for each feature (linux/vfio.h). */
import { type IoctlCall, layoutParts, type Part, part } from '../ioctl.js';
import { decode, type Layout, readU32, readU64, s32, struct, u32, u64 } from '../layout.js';
import { flagNames, flagTable, nameOrNumber, valueTable } from '../names.js';
import { hex, hexBytes } from '../text.js';

export const FEATURE_OPERATIONS = flagTable('VFIO_DEVICE_FEATURE_', {
  GET: 1 << 16,
  SET: 1 << 17,
  PROBE: 1 << 18,
});

export const FEATURES = valueTable('VFIO_DEVICE_FEATURE_', {
  PCI_VF_TOKEN: 0,
  MIGRATION: 1,
  MIG_DEVICE_STATE: 2,
  LOW_POWER_ENTRY: 3,
  LOW_POWER_ENTRY_WITH_WAKEUP: 4,
  LOW_POWER_EXIT: 5,
  DMA_LOGGING_START: 6,
  DMA_LOGGING_STOP: 7,
  DMA_LOGGING_REPORT: 8,
  MIG_DATA_SIZE: 9,
  BUS_MASTER: 10,
  DMA_BUF: 11,
});

/** flags hold the feature in bits 0-15 and what to do in 16-18. */
export const DEVICE_FEATURE = struct('vfio_device_feature', 8, {
  argsz: u32(0),
  flags: u32(4, { silent: true }),
});

export const MIGRATION_FLAGS = flagTable('VFIO_MIGRATION_', { STOP_COPY: 1, P2P: 2, PRE_COPY: 4 });

export const MIGRATION_STATES = valueTable('VFIO_DEVICE_STATE_', {
  ERROR: 0,
  STOP: 1,
  RUNNING: 2,
  STOP_COPY: 3,
  RESUMING: 4,
  RUNNING_P2P: 5,
  PRE_COPY: 6,
  PRE_COPY_P2P: 7,
});

export const FEATURE_MIGRATION = struct('vfio_device_feature_migration', 8, {
  flags: u64(0, { flags: MIGRATION_FLAGS, direction: 'out' }),
});
export const FEATURE_MIG_STATE = struct('vfio_device_feature_mig_state', 8, {
  device_state: u32(0, { values: MIGRATION_STATES, direction: 'inout' }),
  data_fd: s32(4, { direction: 'out' }),
});
export const FEATURE_LOW_POWER_WAKEUP = struct('vfio_device_low_power_entry_with_wakeup', 8, {
  wakeup_eventfd: s32(0),
  reserved: u32(4, { hidden: true }),
});
export const FEATURE_DMA_LOGGING_CONTROL = struct('vfio_device_feature_dma_logging_control', 24, {
  page_size: u64(0, { size: true }),
  num_ranges: u32(8),
  reserved: u32(12, { hidden: true, c: '__reserved' }),
  ranges: u64(16, { pointer: true }),
});
export const FEATURE_DMA_LOGGING_REPORT = struct('vfio_device_feature_dma_logging_report', 32, {
  iova: u64(0),
  length: u64(8, { size: true }),
  page_size: u64(16, { size: true }),
  bitmap: u64(24, { pointer: true }),
});
export const FEATURE_MIG_DATA_SIZE = struct('vfio_device_feature_mig_data_size', 8, {
  stop_copy_length: u64(0, { size: true, direction: 'out' }),
});
export const BUS_MASTER_OPERATIONS = valueTable('VFIO_DEVICE_FEATURE_', { CLEAR_MASTER: 0, SET_MASTER: 1 });
export const FEATURE_BUS_MASTER = struct('vfio_device_feature_bus_master', 4, {
  op: u32(0, { values: BUS_MASTER_OPERATIONS }),
});
export const FEATURE_DMA_BUF = struct('vfio_device_feature_dma_buf', 16, {
  region_index: u32(0),
  open_flags: u32(4, { hex: true }),
  flags: u32(8, { hex: true }),
  nr_ranges: u32(12),
});

const layouts: Readonly<Record<number, Layout>> = {
  1: FEATURE_MIGRATION,
  2: FEATURE_MIG_STATE,
  4: FEATURE_LOW_POWER_WAKEUP,
  6: FEATURE_DMA_LOGGING_CONTROL,
  8: FEATURE_DMA_LOGGING_REPORT,
  9: FEATURE_MIG_DATA_SIZE,
  10: FEATURE_BUS_MASTER,
  11: FEATURE_DMA_BUF,
};

/** The structure that follows the header, where the feature has one. */
export function featureLayout(feature: number): Layout | undefined {
  return layouts[feature];
}

export function featureName(feature: number): string {
  return nameOrNumber(FEATURES, feature);
}

const VF_TOKEN = 0;
const DMA_LOGGING_START = 6;
const DMA_BUF = 11;

/** Pairs of u64 (offset or IOVA, length). */
function areas(bytes: Uint8Array, count: number): Part {
  const held = Math.min(count, Math.floor(bytes.length / 16));
  const list = Array.from({ length: held }, (_, i) => ({
    start: readU64(bytes, i * 16),
    length: readU64(bytes, i * 16 + 8),
  }));
  const text = list.map(({ start, length }) => `${hex(start)}+${hex(length)}`).join(',');
  return part('areas', `[${text}]`, list);
}

export function featureParts(call: IoctlCall): readonly Part[] {
  const header = call.before ?? call.after;
  if (header === undefined || header.length < DEVICE_FEATURE.size) return [];
  const flags = readU32(header, 4);
  const feature = flags & 0xffff;
  const operation = flagNames(FEATURE_OPERATIONS, (flags & ~0xffff) >>> 0);
  const parts: Part[] = [part('feature', featureName(feature), feature), part('op', operation, operation)];
  const probe = (flags & (1 << 18)) !== 0;
  const data = {
    ...call,
    before: call.before?.subarray(DEVICE_FEATURE.size),
    after: call.after?.subarray(DEVICE_FEATURE.size),
  };
  const layout = layouts[feature];
  if (feature === VF_TOKEN) {
    if ((data.before?.length ?? 0) > 0) parts.push(part('token', 'redacted', 'redacted'));
  } else if (layout !== undefined && !probe) {
    parts.push(...layoutParts(layout, data));
    if (feature === DMA_LOGGING_START && call.pointedBefore !== undefined && data.before !== undefined) {
      parts.push(areas(call.pointedBefore, decode(FEATURE_DMA_LOGGING_CONTROL, data.before).num_ranges ?? 0));
    }
    if (feature === DMA_BUF && data.before !== undefined) {
      const count = decode(FEATURE_DMA_BUF, data.before).nr_ranges ?? 0;
      parts.push(areas(data.before.subarray(FEATURE_DMA_BUF.size), count));
    }
  } else if (layout === undefined && data.before !== undefined && data.before.length > 0) {
    parts.push(part('data', hexBytes(data.before), hexBytes(data.before, 4096)));
  }
  return parts;
}
