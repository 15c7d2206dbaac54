// SPDX-License-Identifier: Apache-2.0
/** pci_save_state() and pci_restore_state(): what survives a reset because the kernel writes it back. */
import type { PciDevice } from './pci-device.js';

const HEADER_DWORDS = 16;
// Device, link, slot and root control, and the second set of them (PCIe 5.0 7.5.3).
const EXPRESS_CONTROLS = [0x08, 0x10, 0x18, 0x1c, 0x28, 0x30, 0x38] as const;
// Masks, severity and control (PCIe 5.0 7.8.4).
const AER_CONTROLS = [0x08, 0x0c, 0x14, 0x18] as const;

export interface SavedState {
  readonly header: readonly number[];
  readonly express: readonly number[];
  readonly aer: readonly number[];
}

export function saveState(pci: PciDevice): SavedState {
  const { expressCap, aerCap } = pci;
  return {
    header: Array.from({ length: HEADER_DWORDS }, (_, i) => pci.read(4 * i, 4)),
    express: expressCap === undefined ? [] : EXPRESS_CONTROLS.map((at) => pci.read(expressCap + at, 2)),
    aer: aerCap === undefined ? [] : AER_CONTROLS.map((at) => pci.read(aerCap + at, 4)),
  };
}

export function restoreState(pci: PciDevice, saved: SavedState, restoreMessages: () => void): void {
  const { expressCap, aerCap } = pci;
  if (expressCap !== undefined) {
    saved.express.forEach((value, i) => {
      pci.write(expressCap + (EXPRESS_CONTROLS[i] as number), 2, value);
    });
  }
  if (aerCap !== undefined) {
    saved.aer.forEach((value, i) => {
      pci.write(aerCap + (AER_CONTROLS[i] as number), 4, value);
    });
  }
  // From the end: the command register is written when the BARs are back.
  for (let i = HEADER_DWORDS - 1; i >= 0; i--) {
    const value = saved.header[i] as number;
    if (pci.read(4 * i, 4) !== value) pci.write(4 * i, 4, value);
  }
  restoreMessages();
}
