// SPDX-License-Identifier: Apache-2.0
/**
 * What a device author writes: a description of the PCI function, and what happens on loads, stores and reset.
 * Config space, BAR sizing, MSI and MSI-X tables, power states and function level reset are done once for all
 * devices, by pci/function.ts.
 */
import type { PciDescription } from './pci/description.js';

/** Bytes of one access; always naturally aligned by the time that a device sees it. */
export type Width = 1 | 2 | 4 | 8;

/** A range of I/O virtual addresses that leads to memory. */
export interface DmaWindow {
  readonly iova: bigint;
  readonly size: bigint;
}

export type AdministratorAct = 'take-away' | 'suspend';

/** A device's way to the machine that it sits in. Every access is checked by the IOMMU. */
export interface Host {
  /** False when the IOMMU refused; `into` then holds ones where nothing was read, as on a PCI bus. */
  dmaRead(iova: bigint, into: Uint8Array): boolean;
  /** False when the IOMMU refused; what lies before the refused page is written. */
  dmaWrite(iova: bigint, from: Uint8Array): boolean;
  /** What is mapped for this device's DMA now, in the order in which it was mapped; the same array until that changes. */
  readonly windows: readonly DmaWindow[];
  /** Sends the MSI or MSI-X message of a vector; lost when neither is enabled, as on hardware. */
  message(vector: number): void;
  /** Sets the level of the INTx pin. */
  intx(asserted: boolean): void;
  /** Which of them the driver enabled: most devices raise INTx only when it is none. */
  readonly messages: 'none' | 'msi' | 'msix';
  /** The device resets itself: registers and config space as after power-on, which nobody else knows of. */
  reset(): void;
  /** Surprise removal: from now on everything reads as ones. */
  remove(): void;
  /** Whoever runs the machine wants the device back from its driver, or the machine to sleep. */
  administer(act: AdministratorAct): void;
  /** Runs the work after the access that asked for it has been answered: a doorbell does not wait for the disk. */
  defer(work: () => void): void;
}

/** SET_IRQS without its data. */
export interface IrqRequest {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly flags: number;
}

/**
 * For a device that was recorded: what its driver asks of VFIO rather than of the device. A device that only is one
 * hears of it by its effects.
 */
export interface DriverWatch {
  /** VFIO's answer to a read of configuration space, which may be changed. */
  configRead(offset: number, answer: Uint8Array): void;
  configWrite(offset: number, bytes: Uint8Array): void;
  /** Both have succeeded. */
  reset(): void;
  setIrqs(request: IrqRequest): void;
}

/** Addresses that the device's driver has mapped for its DMA, or that are no longer. */
export interface MemoryChange {
  readonly start: bigint;
  readonly last: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly mapped: boolean;
}

export interface Device {
  readonly pci: PciDescription;
  readonly driver?: DriverWatch;
  /** Called once, before anything else. */
  attach(host: Host): void;
  /** A load from a BAR, below its size; MSI-X table and PBA never get here. */
  read(bar: number, offset: number, width: Width): bigint;
  /** A store to a BAR. */
  write(bar: number, offset: number, width: Width, value: bigint): void;
  /** Function level reset, bus reset, D3hot to D0, and power-on: registers as the specification says, no DMA after. */
  reset(): void;
  /** A configuration write was done: for registers in vendor capabilities and gaps that do something. */
  configWritten?(offset: number, width: Width, value: number): void;
  /** Whether registers of its own lie in [from, to) of a BAR; a device that doesn't say has none beside MSI-X's. */
  usesRegisters?(bar: number, from: number, to: number): boolean;
  /** A configuration read, for registers that are kept elsewhere; undefined: as they are here. */
  configRead?(offset: number, width: 1 | 2 | 4): number | undefined;
  /** For a device that must know beforehand what it may reach: hardware does not, it tries. */
  memoryChanged?(change: MemoryChange): void;
  /** For a device that something else drives: what came from there is done now, or what comes within so many ms. */
  settle?(milliseconds: number): void;
  /** The function is gone from the machine: release files and timers. */
  close?(): void;
}
