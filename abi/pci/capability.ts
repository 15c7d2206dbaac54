// SPDX-License-Identifier: Apache-2.0
import type { Register } from '../register.js';

/** A little-endian number relative to the capability's start; undefined where the trace does not know the bytes. */
export type CapabilityReader = (offset: number, width: 1 | 2 | 4) => number | undefined;

/** A PCI capability: what its registers are, relative to its start. */
export interface Capability {
  readonly id: number;
  /** Short, as it stands before the register: `PM.PMCSR`. */
  readonly name: string;
  /** Of the PCI Express Base Specification 5.0 unless it names another. */
  readonly clause: string;
  /** PCI_CAP_ID_… or PCI_EXT_CAP_ID_… of linux/pci_regs.h. */
  readonly linux: string;
  readonly registers: readonly Register[] | ((read: CapabilityReader) => readonly Register[]);
}
