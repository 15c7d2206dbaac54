// SPDX-License-Identifier: Apache-2.0
/** A PCI function as data: identity, BARs, capabilities. */

export interface BarDescription {
  /** A power of two. */
  readonly size: number;
  readonly kind: 'memory32' | 'memory64' | 'io';
  readonly prefetchable?: boolean;
  /** Where the machine placed it; chosen by the bus when absent. */
  readonly address?: bigint;
}

export interface RomDescription {
  readonly size: number;
  readonly address?: bigint;
  /** Begins with 0x55 0xaa when there is a ROM behind the BAR. */
  readonly content: Uint8Array;
}

/** A capability at its place: its bytes at power-on, and which bits a write changes, or clears by writing one. */
export interface CapabilityDescription {
  readonly id: number;
  readonly offset: number;
  /** The whole capability; id and next pointer are filled in. */
  readonly bytes: Uint8Array;
  readonly writable?: Uint8Array;
  readonly writeOneToClear?: Uint8Array;
  /** Extended capabilities only. */
  readonly version?: number;
}

export interface PciDescription {
  readonly vendor: number;
  readonly device: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** 24 bits: class, subclass, interface. */
  readonly classCode: number;
  readonly revision?: number;
  /** 0: none, 1: INTA. */
  readonly interruptPin: 0 | 1 | 2 | 3 | 4;
  readonly interruptLine?: number;
  /** As firmware and kernel left it before a driver came. */
  readonly command?: number;
  /** Six places; the one after a memory64 is its upper half and stays empty. */
  readonly bars: readonly (BarDescription | undefined)[];
  readonly rom?: RomDescription;
  /** 256 without extended config space. */
  readonly configSize: 256 | 4096;
  readonly capabilities: readonly CapabilityDescription[];
  readonly extendedCapabilities?: readonly CapabilityDescription[];
  /** A virtual function: its ids read 0xFFFF, its BARs zero, its memory enable bit does nothing (SR-IOV 1.1 3.4.1). */
  readonly virtualFunction?: boolean;
  /** The kernel knows a way to reset it that its capabilities don't tell (pci_dev_specific_reset). */
  readonly specificReset?: boolean;
  /** The kernel has been told to use no way at all. */
  readonly noReset?: boolean;
  /** False for a device whose DisINTx bit does not stick (before PCI 2.3). */
  readonly intxMasking?: boolean;
  /** What the MSI-X table holds when the driver first looks: some devices keep what an earlier driver left. */
  readonly msixTable?: Uint8Array;
  /** Bytes of config space that no capability owns, as offset and value. */
  readonly gaps?: readonly (readonly [offset: number, value: number])[];
}
