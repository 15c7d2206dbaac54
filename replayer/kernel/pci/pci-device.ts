// SPDX-License-Identifier: Apache-2.0
/** The host kernel's view of a function (struct pci_dev): resources, power state, bus mastering, INTx masking. */
import { AER, EXPRESS, MSI, MSIX, PM } from '../../devices/pci/capabilities.js';
import {
  BAR0,
  COMMAND,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MASTER,
  COMMAND_MEMORY,
  ROM_ADDRESS,
  STATUS,
  STATUS_INTERRUPT,
} from '../../devices/pci/config-space.js';
import type { PciFunction } from '../../devices/pci/function.js';
import { EINVAL, EIO } from '../errno.js';

export const D0 = 0;
export const D3HOT = 3;

const PMCSR = 4;
const NO_SOFT_RESET = 8;

/** One BAR or the ROM as the host placed it (struct resource). */
export interface Resource {
  readonly start: bigint;
  readonly size: number;
  readonly io: boolean;
  readonly wide: boolean;
  readonly prefetchable: boolean;
}

export interface PciAddress {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

export const ROM_RESOURCE = 6;

export class PciDevice {
  currentState = D0;
  /** Set by the interrupt code: whether MSI or MSI-X is set up (pci_dev.msi_enabled, msix_enabled). */
  messagesEnabled: 'none' | 'msi' | 'msix' = 'none';

  constructor(
    readonly name: string,
    readonly address: PciAddress,
    readonly fn: PciFunction,
    /** BAR 0 to 5, then the ROM. */
    readonly resources: readonly (Resource | undefined)[],
  ) {
    resources.forEach((resource, index) => {
      if (resource !== undefined && !this.isVirtual) this.#writeBar(resource, index);
    });
  }

  get vendor(): number {
    return this.fn.pci.vendor;
  }
  get device(): number {
    return this.fn.pci.device;
  }
  get isVirtual(): boolean {
    return this.fn.pci.virtualFunction ?? false;
  }
  get configSize(): number {
    return this.fn.config.size;
  }
  get pmCap(): number | undefined {
    return this.fn.capability(PM);
  }
  get msiCap(): number | undefined {
    return this.fn.capability(MSI);
  }
  get msixCap(): number | undefined {
    return this.fn.capability(MSIX);
  }
  get expressCap(): number | undefined {
    return this.fn.capability(EXPRESS);
  }
  get isExpress(): boolean {
    return this.expressCap !== undefined;
  }
  get aerCap(): number | undefined {
    return this.fn.pci.extendedCapabilities?.find((one) => one.id === AER)?.offset;
  }
  /** pci_dev.pin, read at enumeration. */
  get pin(): number {
    return this.isVirtual ? 0 : this.fn.pci.interruptPin;
  }

  read(offset: number, width: 1 | 2 | 4): number {
    return this.fn.configRead(offset, width);
  }

  write(offset: number, width: 1 | 2 | 4, value: number): void {
    this.fn.configWrite(offset, width, value >>> 0);
  }

  get command(): number {
    return this.read(COMMAND, 2);
  }

  setCommand(set: number, clear: number): void {
    const before = this.command;
    const after = (before & ~clear) | set;
    if (after !== before) this.write(COMMAND, 2, after);
  }

  /** pci_enable_device(): what its resources need, and D0. */
  enable(): void {
    this.setPowerState(D0);
    if (this.isVirtual) return;
    let bits = 0;
    for (const resource of this.resources.slice(0, ROM_RESOURCE))
      if (resource !== undefined) bits |= resource.io ? COMMAND_IO : COMMAND_MEMORY;
    this.setCommand(bits, this.pin !== 0 && this.messagesEnabled === 'none' ? COMMAND_INTX_DISABLE : 0);
  }

  clearMaster(): void {
    this.setCommand(0, COMMAND_MASTER);
  }

  /** pci_intx() */
  intx(enable: boolean): void {
    this.setCommand(enable ? 0 : COMMAND_INTX_DISABLE, enable ? COMMAND_INTX_DISABLE : 0);
  }

  /** pci_intx_mask_supported(): whether the DisINTx bit sticks was tried at enumeration. */
  get intxMaskable(): boolean {
    return !this.isVirtual && (this.fn.pci.intxMasking ?? true);
  }

  /** pci_check_and_mask_intx(): false when this function is not the one that interrupts. */
  checkAndMaskIntx(): boolean {
    if (!this.#interruptPending) return false;
    this.intx(false);
    return true;
  }

  /** pci_check_and_unmask_intx(): false when it would interrupt again at once; it stays masked then. */
  checkAndUnmaskIntx(): boolean {
    if (this.#interruptPending) return false;
    this.intx(true);
    return true;
  }

  get #interruptPending(): boolean {
    return (this.read(STATUS, 2) & STATUS_INTERRUPT) !== 0;
  }

  /** pci_set_power_state() */
  setPowerState(state: number): number {
    if (state === this.currentState) return 0;
    const pm = this.pmCap;
    if (pm === undefined) return state === D0 ? 0 : -EIO;
    if (state !== D0) {
      const unsupported = (state === 1 || state === 2) && (this.read(pm + 2, 2) & (0x100 << state)) === 0;
      if (unsupported) return -EIO;
      if (this.currentState > state) return -EINVAL;
    }
    const control = this.read(pm + PMCSR, 2);
    const wasOff = this.currentState === D3HOT;
    this.write(pm + PMCSR, 2, (control & ~3) | state);
    this.currentState = this.read(pm + PMCSR, 2) & 3;
    // pci_restore_bars(): leaving D3hot reset the function and its BARs.
    if (state === D0 && wasOff && (control & NO_SOFT_RESET) === 0) this.restoreBars();
    return 0;
  }

  restoreBars(): void {
    if (this.isVirtual) return;
    this.resources.forEach((resource, index) => {
      if (resource !== undefined) this.#writeBar(resource, index);
    });
  }

  #writeBar(resource: Resource, index: number): void {
    const offset = index === ROM_RESOURCE ? ROM_ADDRESS : BAR0 + 4 * index;
    this.write(offset, 4, Number(resource.start & 0xffff_ffffn));
    if (resource.wide) this.write(offset + 4, 4, Number(resource.start >> 32n));
  }

  /** pcie_get_mps() */
  get maxPayload(): number {
    const express = this.expressCap;
    return express === undefined ? 0 : 128 << ((this.read(express + 8, 2) >>> 5) & 7);
  }

  /** pcie_set_readrq(): the nearest power of two below is refused; ours is one already. */
  setMaxReadRequest(bytes: number): void {
    const express = this.expressCap;
    if (express === undefined || bytes < 128 || bytes > 4096) return;
    const control = this.read(express + 8, 2);
    this.write(express + 8, 2, (control & ~0x7000) | ((Math.log2(bytes) - 7) << 12));
  }

  /** pci_read_vpd() and pci_write_vpd() of four bytes; undefined and false when there is nothing at the address. */
  readVpd(address: number): number | undefined {
    if (address + 4 > this.fn.vpd.length) return undefined;
    return new DataView(this.fn.vpd.buffer, this.fn.vpd.byteOffset).getUint32(address, true);
  }

  writeVpd(address: number, data: number): boolean {
    if (address + 4 > this.fn.vpd.length) return false;
    new DataView(this.fn.vpd.buffer, this.fn.vpd.byteOffset).setUint32(address, data, true);
    return true;
  }
}
