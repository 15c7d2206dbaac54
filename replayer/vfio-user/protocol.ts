// SPDX-License-Identifier: Apache-2.0
/**
 * The messages of the vfio-user protocol as data (QEMU, docs/interop/vfio-user.rst, "Protocol Specification"). Where a
 * message carries a structure of linux/vfio.h, abi/vfio/ has it.
 */
import { struct, u16, u32, u64 } from '../../abi/layout.js';

export const Command = {
  VERSION: 1,
  DMA_MAP: 2,
  DMA_UNMAP: 3,
  DEVICE_GET_INFO: 4,
  DEVICE_GET_REGION_INFO: 5,
  DEVICE_GET_REGION_IO_FDS: 6,
  DEVICE_GET_IRQ_INFO: 7,
  DEVICE_SET_IRQS: 8,
  REGION_READ: 9,
  REGION_WRITE: 10,
  DMA_READ: 11,
  DMA_WRITE: 12,
  DEVICE_RESET: 13,
  REGION_WRITE_MULTI: 15,
  DEVICE_FEATURE: 16,
  MIG_DATA_READ: 17,
  MIG_DATA_WRITE: 18,
} as const;

export function commandName(command: number): string {
  const found = Object.entries(Command).find(([, value]) => value === command);
  return found === undefined ? `command ${command}` : `VFIO_USER_${found[0]}`;
}

export const HEADER = struct('vfio_user_header', 16, {
  id: u16(0),
  command: u16(2),
  /** Of the whole message. */
  size: u32(4),
  flags: u32(8),
  error: u32(12),
});

export const TYPE_MASK = 0x0f;
export const TYPE_COMMAND = 0;
export const TYPE_REPLY = 1;
export const NO_REPLY = 0x10;
export const ERROR = 0x20;

/** "version data" is behind it: JSON, with a NUL at its end. */
export const VERSION = struct('vfio_user_version', 4, { major: u16(0), minor: u16(2) });

/** Flags are VFIO's: readable 1, writeable 2. */
export const DMA_MAP = struct('vfio_user_dma_map', 32, {
  argsz: u32(0),
  flags: u32(4),
  offset: u64(8),
  address: u64(16),
  size: u64(24),
});

export const DMA_UNMAP = struct('vfio_user_dma_unmap', 24, {
  argsz: u32(0),
  flags: u32(4),
  address: u64(8),
  size: u64(16),
});

/** The specification has no flags here; QEMU sends VFIO's, with address and size 0 (hw/vfio-user/container.c). */
export const DMA_UNMAP_ALL = 2;

/** VFIO_USER_REGION_READ and _WRITE; the data is behind it. */
export const REGION_ACCESS = struct('vfio_user_region_rw', 16, {
  offset: u64(0),
  region: u32(8),
  count: u32(12),
});

/** VFIO_USER_DMA_READ and _WRITE; the data is behind it. */
export const DMA_ACCESS = struct('vfio_user_dma_rw', 16, { address: u64(0), count: u64(8) });

/** One of VFIO_USER_REGION_WRITE_MULTI, behind the number of them in 8 bytes. */
export const SINGLE_WRITE = struct('vfio_user_write', 24, {
  offset: u64(0),
  region: u32(8),
  count: u32(12),
  data: u64(16),
});

/** What VFIO_USER_DEVICE_FEATURE begins with. */
export const FEATURE = struct('vfio_user_device_feature', 8, { argsz: u32(0), flags: u32(4) });

/** What VFIO_USER_DEVICE_GET_REGION_IO_FDS is. */
export const REGION_IO_FDS = struct('vfio_user_region_io_fds', 16, {
  argsz: u32(0),
  flags: u32(4),
  index: u32(8),
  count: u32(12),
});

/** VFIO_USER_DEVICE_GET_INFO has the first four fields of struct vfio_device_info. */
export const USER_DEVICE_INFO_BYTES = 16;
