// SPDX-License-Identifier: Apache-2.0
/** The ioctl of a migration data descriptor (linux/vfio.h). */
import { ioctl } from '../ioctl.js';
import { struct, u32, u64 } from '../layout.js';

export const PRECOPY_INFO = struct('vfio_precopy_info', 24, {
  argsz: u32(0),
  flags: u32(4, { hex: true, hidden: true }),
  initial_bytes: u64(8, { size: true, direction: 'out' }),
  dirty_bytes: u64(16, { size: true, direction: 'out' }),
});

export const MIGRATION_IOCTLS = [ioctl('VFIO_MIG_GET_PRECOPY_INFO', 0x3b79, PRECOPY_INFO)] as const;
