// SPDX-License-Identifier: Apache-2.0
/**
 * Which bits of config space the VFIO of 2010 kept for itself and which a driver could write: bits that are neither
 * virtual nor writable read as the hardware has them, and writes to them are dropped without an error
 * (struct perm_bits of its vfio_pci_config.c). Today's are in ../pci/vfio-permissions.ts.
 */
import { masked, type PermissionField, type Permissions, VIRTUAL_BARS } from '../pci/vfio-permissions.js';

const PM = 0x01;
const VPD = 0x03;
const PCIX = 0x07;
const EXPRESS = 0x10;
const AF = 0x13;
/** Of extended space. */
const AER = 0x01;
const POWER_BUDGETING = 0x04;

const ALL = 0xffff_ffff;
/** I/O, memory, DisINTx: seen to be able to tell that the device was reset behind VFIO's back. */
const COMMAND_VIRTUAL = 0x0403;

/** Reads pass to the hardware, writes vanish: also MSI-X, which is set up by ioctl only. */
export const LYON_READ_ONLY: Permissions = masked(0, []);

/** init_pci_cap_basic_perm(). Bus mastering (Command bit 2) is not virtual: it is the driver's to set. */
export const LYON_BASIC = masked(64, [
  // Ids: a virtual function's own read as ones.
  [0x00, 2, 0xffff, 0],
  [0x02, 2, 0xffff, 0],
  [0x04, 2, COMMAND_VIRTUAL, 0xffff],
  [0x0c, 1, 0, 0xff],
  [0x0d, 1, 0, 0xff],
  [0x0f, 1, 0, 0xff],
  ...VIRTUAL_BARS,
  [0x3c, 1, 0xff, 0xff],
]);

const UNCORRECTABLE = 0x03ff_f031;
const CORRECTABLE = 0x0000_f1c1;
const ECRC = 0x0000_0140;

const STANDARD: Readonly<Record<number, Permissions>> = {
  // init_pci_cap_pm_perm(): power states reach the hardware.
  [PM]: masked(8, [[4, 4, 0, ALL]]),
  [VPD]: masked(8, [
    [2, 2, 0, 0xffff],
    [4, 4, 0, ALL],
  ]),
  [PCIX]: masked(24, [
    [2, 2, 0, 0xffff],
    [8, 4, 0, ALL],
  ]),
  // init_pci_cap_exp_perm(): a function level reset, too, reaches the hardware; phantom functions and ARI are not given.
  [EXPRESS]: masked(0x3c, [
    [0x08, 2, 0, ~0x0200],
    [0x28, 2, 0, ~0x0020],
  ]),
  [AF]: masked(8, [[4, 1, 0, 0x01]]),
};

const EXTENDED: Readonly<Record<number, Permissions>> = {
  // init_pci_ext_cap_err_perm()
  [AER]: masked(0x2c, [
    [0x04, 4, 0, UNCORRECTABLE],
    [0x08, 4, 0, UNCORRECTABLE],
    [0x0c, 4, 0, UNCORRECTABLE],
    [0x10, 4, 0, CORRECTABLE],
    [0x14, 4, 0, CORRECTABLE],
    [0x18, 4, 0, ECRC],
  ]),
  // init_pci_ext_cap_pwr_perm(): the selector is at 4, PCI_PWR_DATA, which is the data, is at 8.
  [POWER_BUDGETING]: masked(16, [[0x08, 1, 0, 0xff]]),
};

/** init_pci_cap_msi_perm(): address, data and the low byte of the flags are VFIO's; mask and pending bits are real. */
export function lyonMsiPermissions(flags: number): Permissions {
  const wide = (flags & 0x80) !== 0;
  const data = wide ? 12 : 8;
  const fields: PermissionField[] = [
    [2, 1, 0xff, 0xff],
    [4, 4, ALL, ALL],
    [data, 2, 0xffff, 0xffff],
  ];
  if (wide) fields.push([8, 4, ALL, ALL]);
  if ((flags & 0x100) !== 0) fields.push([data + 4, 4, 0, ALL], [data + 8, 4, 0, ALL]);
  return masked(data + 12, fields);
}

export function lyonStandardPermissions(id: number): Permissions {
  return STANDARD[id] ?? LYON_READ_ONLY;
}

export function lyonExtendedPermissions(id: number): Permissions {
  return EXTENDED[id] ?? LYON_READ_ONLY;
}
