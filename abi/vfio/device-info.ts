// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_GET_INFO (linux/vfio.h). */
import type { IoctlCall, Part } from '../ioctl.js';
import { decode, readU32, struct, u32 } from '../layout.js';
import { flagNames, flagTable } from '../names.js';
import { capabilityPart } from './capability-chain.js';

export const DEVICE_FLAGS = flagTable('VFIO_DEVICE_FLAGS_', {
  RESET: 1,
  PCI: 2,
  PLATFORM: 4,
  AMBA: 8,
  CCW: 16,
  AP: 32,
  FSL_MC: 64,
  CAPS: 128,
  CDX: 256,
});

/** 20 bytes up to Linux 6.1 (without `pad`), 24 since; the first 16 are what the kernel insists on. */
export const DEVICE_INFO = struct('vfio_device_info', 24, {
  argsz: u32(0),
  flags: u32(4, { flags: DEVICE_FLAGS, direction: 'out' }),
  num_regions: u32(8, { direction: 'out' }),
  num_irqs: u32(12, { direction: 'out' }),
  cap_offset: u32(16, { direction: 'out', silent: true }),
  pad: u32(20, { hidden: true }),
});

const PCI_ATOMIC_COMP = 5;
const ATOMIC_COMPLETIONS = flagTable('VFIO_PCI_ATOMIC_COMP', { '32': 1, '64': 2, '128': 4 });

export function deviceInfoParts(call: IoctlCall): readonly Part[] {
  if (call.after === undefined || call.errno !== 0) return [];
  const first = decode(DEVICE_INFO, call.after).cap_offset ?? 0;
  return capabilityPart(call.after, first, ({ id, bytes }) => {
    if (id !== PCI_ATOMIC_COMP || bytes.length < 12) return [`capability ${id}`, { id }];
    const flags = readU32(bytes, 8);
    return [`PCI_ATOMIC_COMP(${flagNames(ATOMIC_COMPLETIONS, flags)})`, { id, flags }];
  });
}
