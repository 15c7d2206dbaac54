// SPDX-License-Identifier: Apache-2.0
/**
 * How long each capability is; one of unknown length is hidden from the driver (pci_cap_length, pci_ext_cap_length,
 * vfio_cap_len and vfio_ext_cap_len of vfio_pci_config.c).
 */
import type { PciDevice } from '../pci/pci-device.js';

const FIXED: Readonly<Record<number, number>> = { 1: 8, 2: 12, 3: 8, 17: 12, 19: 6 };

export const STANDARD_MAX = 0x14;
export const EXTENDED_MAX = 0x2e;

const INTEGRATED_ENDPOINT = 9;

/** 0: hidden. */
export function standardLength(pci: PciDevice, id: number, at: number): number {
  switch (id) {
    case 0x05: {
      const flags = pci.read(at + 2, 2);
      return 10 + ((flags & 0x80) !== 0 ? 4 : 0) + ((flags & 0x100) !== 0 ? 10 : 0);
    }
    case 0x07:
      return (pci.read(at + 2, 2) & 0x3000) !== 0 ? 24 : 8;
    case 0x08:
      return (pci.read(at + 3, 1) & 0xe0) !== 0 ? 28 : 4;
    case 0x09:
      return pci.read(at + 2, 1);
    case 0x10: {
      const flags = pci.read(at + 2, 2);
      const linkless = ((flags >>> 4) & 0xf) === INTEGRATED_ENDPOINT;
      if ((flags & 0xf) === 1) return linkless ? 0x0c : 0x14;
      return linkless ? 0x2c : 0x3c;
    }
    case 0x12:
      return (pci.read(at + 4, 1) & 0xf) === 0xf ? 16 : 8;
    default:
      return FIXED[id] ?? 0;
  }
}

const EXTENDED_FIXED: Readonly<Record<number, number>> = {
  1: 0x2c,
  3: 12,
  4: 16,
  14: 8,
  15: 8,
  16: 0x40,
  18: 48,
  19: 16,
  24: 8,
};

export function extendedLength(pci: PciDevice, id: number, at: number): number {
  switch (id) {
    case 0x02:
    case 0x08:
    case 0x09:
      return virtualChannelLength(pci, at);
    case 0x0b:
      return pci.read(at + 4, 4) >>> 20;
    case 0x0d: {
      if ((pci.read(at + 4, 1) & 0x20) === 0) return 8;
      const bits = pci.read(at + 5, 1);
      return 8 + (bits === 0 ? 256 : Math.ceil(bits / 32) * 32) / 8;
    }
    case 0x15:
      return 4 + ((pci.read(at + 8, 1) & 0xe0) >>> 5) * 8;
    case 0x16:
      return 16 + (pci.read(at + 4, 1) & 0x1f) + 1;
    case 0x17: {
      const capability = pci.read(at + 4, 4);
      return (capability & 0x600) === 0x200 ? 12 + ((capability >>> 16) & 0x7ff) * 2 + 2 : 12;
    }
    case 0x23:
      return pci.read(at + 4, 4) >>> 20;
    default:
      return EXTENDED_FIXED[id] ?? 0;
  }
}

/** vfio_vc_cap_len(): the virtual channels and their arbitration table. */
function virtualChannelLength(pci: PciDevice, at: number): number {
  const channels = 1 + (pci.read(at + 4, 4) & 7);
  const arbitration = pci.read(at + 8, 4);
  const phases =
    (arbitration & 8) !== 0 ? 128 : (arbitration & 4) !== 0 ? 64 : (arbitration & 2) !== 0 ? 32 : 0;
  const length = 16 + channels * 12;
  return phases === 0 ? length : Math.ceil(length / 16) * 16 + (phases * 4) / 8;
}
