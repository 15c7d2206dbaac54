// SPDX-License-Identifier: Apache-2.0
/** A PCI bus: the root bus, or what is behind a root port and can be reset as a whole (pci_reset_bus). */
import type { Messages } from './messages.js';
import { D0, type PciDevice } from './pci-device.js';
import { restoreState, type SavedState, saveState } from './saved-state.js';

export interface BusMember {
  readonly pci: PciDevice;
  readonly messages: Messages;
}

export class PciBus {
  readonly members: BusMember[] = [];

  constructor(
    readonly number: number,
    readonly isRoot: boolean,
  ) {}

  /** pci_probe_reset_bus(): a bus without a bridge above it can't be reset. */
  get canReset(): boolean {
    return !this.isRoot;
  }

  /** pci_reset_bus(): every function keeps its config space, as after a function reset. */
  reset(): void {
    const saved = this.members.map(({ pci }): SavedState => {
      pci.setPowerState(D0);
      return saveState(pci);
    });
    this.secondaryBusReset();
    this.members.forEach(({ pci, messages }, i) => {
      restoreState(pci, saved[i] as SavedState, () => messages.restore());
    });
  }

  /** pci_bridge_secondary_bus_reset() */
  secondaryBusReset(): void {
    for (const { pci } of this.members) {
      pci.fn.reset();
      pci.currentState = D0;
    }
  }
}
