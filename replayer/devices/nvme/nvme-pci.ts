// SPDX-License-Identifier: Apache-2.0
/** The NVMe controller's PCI function, laid out as QEMU's. */
import { express, msix, pm } from '../pci/capabilities.js';
import type { PciDescription } from '../pci/description.js';

export const NVME_VECTORS = 65;

export const NVME_PCI: PciDescription = {
  vendor: 0x1b36,
  device: 0x0010,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  classCode: 0x010802,
  revision: 0x02,
  interruptPin: 1,
  interruptLine: 0x0b,
  command: 0x0103,
  bars: [{ size: 0x4000, kind: 'memory64' }],
  configSize: 4096,
  capabilities: [
    msix({
      offset: 0x40,
      vectors: NVME_VECTORS,
      table: { bar: 0, offset: 0x2000 },
      pba: { bar: 0, offset: 0x3000 },
    }),
    pm({ offset: 0x60, noSoftReset: true }),
    express({ offset: 0x80, flr: true }),
  ],
};
