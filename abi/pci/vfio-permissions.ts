// SPDX-License-Identifier: Apache-2.0
/**
 * Which bits of config space a driver reads from VFIO's own copy instead of the hardware, and which it may write
 * (struct perm_bits of drivers/vfio/pci/vfio_pci_config.c, filled by its init_pci_cap_*_perm functions).
 */

const PM = 0x01;
const VPD = 0x03;
const VENDOR = 0x09;
const EXPRESS = 0x10;
const AF = 0x13;
/** Of extended space. */
const AER = 0x01;

/** How a read is answered. */
export type ReadMode =
  /** Virtual bits from the copy, the others from the hardware. */
  | 'mixed'
  /** From the hardware, but for the capability's header. */
  | 'direct'
  | 'raw';

export interface Permissions {
  readonly read: ReadMode;
  /** Dropped without an error, by the masks, or straight to the hardware. */
  readonly write: 'none' | 'masked' | 'raw';
  readonly virtual: Uint8Array;
  readonly writable: Uint8Array;
}

/** offset, width, virtual bits, writable bits */
export type PermissionField = readonly [offset: number, width: 1 | 2 | 4, virtual: number, writable: number];

const ALL = 0xffff_ffff;

export function masked(length: number, fields: readonly PermissionField[]): Permissions {
  const size = Math.ceil(length / 4) * 4;
  const virtual = new Uint8Array(size);
  const writable = new Uint8Array(size);
  for (const [offset, width, virtualBits, writableBits] of fields) {
    for (let i = 0; i < width; i++) {
      virtual[offset + i] = (virtualBits >>> (8 * i)) & 0xff;
      writable[offset + i] = (writableBits >>> (8 * i)) & 0xff;
    }
  }
  return { read: 'mixed', write: 'masked', virtual, writable };
}

const empty = new Uint8Array();

/** Capabilities that no function below names: what they say is true, and can't be changed. */
export const DIRECT: Permissions = { read: 'direct', write: 'none', virtual: empty, writable: empty };
const DIRECT_RAW: Permissions = { read: 'direct', write: 'raw', virtual: empty, writable: empty };
/** Gaps: some devices hide registers there (be2net). */
export const UNASSIGNED: Permissions = { read: 'raw', write: 'raw', virtual: empty, writable: empty };

const NEXT: PermissionField = [1, 1, 0xff, 0];
const EXTENDED_HEADER: PermissionField = [0, 4, ALL, 0];

/** BARs and the ROM's address: nobody moves the real ones. */
export const VIRTUAL_BARS: readonly PermissionField[] = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map(
  (offset) => [offset, 4, ALL, ALL],
);

/** init_pci_cap_basic_perm() */
export const BASIC = masked(64, [
  // Ids: a virtual function has none of its own.
  [0x00, 2, 0xffff, 0],
  [0x02, 2, 0xffff, 0],
  // DisINTx is VFIO's own means of masking.
  [0x04, 2, 0x0400, 0xffff],
  // The capability list may be shortened.
  [0x06, 2, 0x0010, 0],
  [0x0c, 1, 0, 0xff],
  [0x0d, 1, 0, 0xff],
  [0x0f, 1, 0, 0xff],
  ...VIRTUAL_BARS,
  [0x34, 1, 0xff, 0],
  [0x3c, 1, 0xff, 0xff],
  [0x3d, 1, 0xff, 0],
]);

// PME is the host's: support, enable and status are hidden.
const PME_SUPPORT = 0xf800;
const PME_CONTROL = 0x8100;
const POWER_STATE = 0x0003;

/** init_pci_cap_pm_perm(): the state bits are written by VFIO itself. */
const POWER = masked(8, [NEXT, [2, 2, PME_SUPPORT, 0], [4, 4, PME_CONTROL, ~(PME_CONTROL | POWER_STATE)]]);

/** init_pci_cap_vpd_perm() */
const VITAL_PRODUCT_DATA = masked(8, [NEXT, [2, 2, 0xffff, 0xffff], [4, 4, ALL, ALL]]);

/** init_pci_cap_pcix_perm() */
const PCIX = masked(24, [NEXT, [2, 2, 0, 0xffff], [8, 4, 0, ALL]]);

/** init_pci_cap_exp_perm(): FLR, payload and read request sizes are virtual; phantom functions and ARI are not given. */
const PCI_EXPRESS = masked(0x3c, [NEXT, [8, 2, 0x8000 | 0x00e0 | 0x7000, ~0x0200], [0x28, 2, 0, ~0x0020]]);

/** init_pci_cap_af_perm() */
const ADVANCED_FEATURES = masked(6, [NEXT, [4, 1, 0x01, 0x01]]);

const UNCORRECTABLE = 0x03ff_f031;
const CORRECTABLE = 0x0000_f1c1;

/** init_pci_ext_cap_err_perm() */
const ADVANCED_ERRORS = masked(0x2c, [
  EXTENDED_HEADER,
  [0x04, 4, 0, UNCORRECTABLE],
  [0x08, 4, 0, UNCORRECTABLE],
  [0x0c, 4, 0, UNCORRECTABLE],
  [0x10, 4, 0, CORRECTABLE],
  [0x14, 4, 0, CORRECTABLE],
  [0x18, 4, 0, 0x0140],
]);

/** init_pci_ext_cap_pwr_perm(): only the selector. */
const POWER_BUDGETING = masked(16, [EXTENDED_HEADER, [8, 1, 0, 0xff]]);

/** init_pci_cap_msi_perm(): set up by ioctl only; the mask bits are real. */
export function msiPermissions(length: number, flags: number): Permissions {
  const wide = (flags & 0x80) !== 0;
  const data = wide ? 12 : 8;
  const fields: PermissionField[] = [NEXT, [2, 1, 0xff, 0xff], [4, 4, ALL, ALL], [data, 2, 0xffff, 0xffff]];
  if (wide) fields.push([8, 4, ALL, ALL]);
  if ((flags & 0x100) !== 0) fields.push([data + 4, 4, 0, ALL], [data + 8, 4, 0, ALL]);
  return masked(length, fields);
}

const STANDARD: Readonly<Record<number, Permissions>> = {
  [PM]: POWER,
  [VPD]: VITAL_PRODUCT_DATA,
  7: PCIX,
  [VENDOR]: DIRECT_RAW,
  [EXPRESS]: PCI_EXPRESS,
  [AF]: ADVANCED_FEATURES,
};

const VENDOR_EXTENDED = 0x0b;
const DVSEC = 0x23;

const EXTENDED: Readonly<Record<number, Permissions>> = {
  [AER]: ADVANCED_ERRORS,
  4: POWER_BUDGETING,
  [VENDOR_EXTENDED]: DIRECT_RAW,
  [DVSEC]: DIRECT_RAW,
};

export function standardPermissions(id: number): Permissions {
  return STANDARD[id] ?? DIRECT;
}

export function extendedPermissions(id: number): Permissions {
  return EXTENDED[id] ?? DIRECT;
}
