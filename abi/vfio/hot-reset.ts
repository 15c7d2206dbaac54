// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO and VFIO_DEVICE_PCI_HOT_RESET (linux/vfio.h). */
import { type IoctlCall, type Part, part } from '../ioctl.js';
import { decode, readU32, s32, struct, u8, u16, u32 } from '../layout.js';
import { flagTable } from '../names.js';
import { bdf } from '../pci/bdf.js';
import { listText } from './irqs.js';

export const HOT_RESET_FLAGS = flagTable('VFIO_PCI_HOT_RESET_FLAG_', { DEV_ID: 1, DEV_ID_OWNED: 2 });

export const HOT_RESET_INFO = struct('vfio_pci_hot_reset_info', 12, {
  argsz: u32(0),
  flags: u32(4, { flags: HOT_RESET_FLAGS, direction: 'out' }),
  count: u32(8, { direction: 'out' }),
});

/** The first field is the iommufd's device id where flag DEV_ID is set, the group otherwise. */
export const DEPENDENT_DEVICE = struct('vfio_pci_dependent_device', 8, {
  group_id: u32(0),
  segment: u16(4),
  bus: u8(6),
  devfn: u8(7),
});

export const HOT_RESET = struct('vfio_pci_hot_reset', 12, { argsz: u32(0), flags: u32(4), count: u32(8) });

/** One group descriptor of the list behind VFIO_DEVICE_PCI_HOT_RESET. */
export const HOT_RESET_GROUP = struct('int', 4, { fd: s32(0) });

export function hotResetInfoParts(call: IoctlCall): readonly Part[] {
  const bytes = call.after;
  if (bytes === undefined || call.errno !== 0) return [];
  const { flags = 0, count = 0 } = decode(HOT_RESET_INFO, bytes);
  const held = Math.min(count, Math.floor((bytes.length - HOT_RESET_INFO.size) / DEPENDENT_DEVICE.size));
  const word = (flags & 1) !== 0 ? 'devid' : 'group';
  const devices = Array.from({ length: Math.max(held, 0) }, (_, i) => {
    const {
      group_id = 0,
      segment = 0,
      bus = 0,
      devfn = 0,
    } = decode(DEPENDENT_DEVICE, bytes, HOT_RESET_INFO.size + i * DEPENDENT_DEVICE.size);
    return { bdf: bdf(segment, bus, devfn), [word]: group_id | 0 };
  });
  const text = devices.map((device) => `${device.bdf}(${word} ${device[word]})`).join(',');
  return [part('devices', `[${text}]`, devices, true)];
}

export function hotResetParts(call: IoctlCall): readonly Part[] {
  const bytes = call.before;
  if (bytes === undefined || bytes.length <= HOT_RESET.size) return [];
  const { count = 0 } = decode(HOT_RESET, bytes);
  const held = Math.min(count, Math.floor((bytes.length - HOT_RESET.size) / 4));
  const fds = Array.from({ length: held }, (_, i) => readU32(bytes, HOT_RESET.size + i * 4) | 0);
  return [part('group_fds', listText(fds), fds)];
}
