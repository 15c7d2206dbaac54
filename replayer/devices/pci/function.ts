// SPDX-License-Identifier: Apache-2.0
/**
 * One PCI function as the bus sees it: config space with its side effects (power states, function level reset, MSI
 * and MSI-X control), BARs, interrupts and DMA. What is particular to a device is behind the Device interface.
 */
import type { AdministratorAct, Device, DmaWindow, Host, Width } from '../device.js';
import { AF, EXPRESS, MSI, MSIX, PM, VPD } from './capabilities.js';
import {
  COMMAND,
  COMMAND_INTX_DISABLE,
  COMMAND_IO,
  COMMAND_MASTER,
  COMMAND_MEMORY,
  ConfigSpace,
  STATUS,
  STATUS_INTERRUPT,
} from './config-space.js';
import type { CapabilityDescription, PciDescription } from './description.js';
import { MsixTable } from './msix-table.js';

/** The machine above a function. */
export interface Upstream {
  dmaRead(iova: bigint, into: Uint8Array): boolean;
  dmaWrite(iova: bigint, from: Uint8Array): boolean;
  readonly windows: readonly DmaWindow[];
  /** A vector's memory write into the interrupt window. */
  message(kind: 'msi' | 'msix', vector: number, address: bigint, data: number): void;
  /** The level of INTx as it leaves the function, DisINTx already applied. */
  intx(asserted: boolean): void;
  defer(work: () => void): void;
  /** The function was pulled out. */
  removed(): void;
  administer(act: AdministratorAct): void;
}

const D3HOT = 3;
const MSIX_ENABLE = 0x8000;
const MSIX_MASK_ALL = 0x4000;
const VPD_FLAG = 0x8000;

const noMachine: Upstream = {
  dmaRead: (_, into) => {
    into.fill(0xff);
    return false;
  },
  dmaWrite: () => false,
  windows: [],
  message: () => {},
  intx: () => {},
  defer: (work) => work(),
  removed: () => {},
  administer: () => {},
};

export class PciFunction implements Host {
  readonly config: ConfigSpace;
  readonly pci: PciDescription;
  readonly msixTable: MsixTable | undefined;
  /** Vital Product Data behind the VPD registers, 32 KiB at most. */
  readonly vpd: Uint8Array;
  /** The device does not answer any more: surprise removal. Everything reads as ones. */
  removed = false;
  upstream: Upstream = noMachine;

  readonly #places: ReadonlyMap<number, CapabilityDescription>;
  #intxAsserted = false;
  /** What the machine sees of it. */
  #intxDriven = false;
  /** Work deferred before a reset is not done after it. */
  #life = 0;

  constructor(
    readonly device: Device,
    vpd: Uint8Array = new Uint8Array(),
  ) {
    this.pci = device.pci;
    this.vpd = vpd.slice(0, 0x8000);
    this.config = new ConfigSpace(device.pci);
    this.#places = new Map([...device.pci.capabilities].reverse().map((one) => [one.id, one]));
    const msix = this.capability(MSIX);
    if (msix !== undefined) {
      const place = (at: number) => {
        const dword = this.config.get(msix + at, 4);
        return { bar: dword & 7, offset: (dword & ~7) >>> 0 };
      };
      const vectors = (this.config.get(msix + 2, 2) & 0x7ff) + 1;
      this.msixTable = new MsixTable(vectors, place(4), place(8), device.pci.msixTable);
    }
    device.attach(this);
  }

  /** Where the first capability of this id is. */
  capability(id: number): number | undefined {
    return this.#places.get(id)?.offset;
  }

  // ---- configuration space ----

  configRead(offset: number, width: 1 | 2 | 4): number {
    if (this.removed) return 2 ** (8 * width) - 1;
    return this.device.configRead?.(offset, width) ?? this.config.get(offset, width);
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (this.removed) return;
    const touches = (at: number | undefined, bytes: number) =>
      at !== undefined && offset < at + bytes && offset + width > at;
    const pm = this.capability(PM);
    const before = this.powerState;
    this.config.write(offset, width, value);
    if (touches(COMMAND, 2)) this.#driveIntx();
    if (pm !== undefined && touches(pm + 4, 1)) this.#powerChanged(before, pm);
    const express = this.capability(EXPRESS);
    if (express !== undefined && touches(express + 8, 2)) this.#deviceControlWritten(express);
    const af = this.capability(AF);
    if (af !== undefined && touches(af + 4, 1) && ((value >>> (8 * (af + 4 - offset))) & 1) !== 0)
      this.reset();
    const vpd = this.capability(VPD);
    if (vpd !== undefined && touches(vpd + 3, 1)) this.#vpdWritten(vpd);
    if (touches(this.capability(MSIX), 4) || touches(this.capability(MSI), 24)) this.#flushPending();
    this.device.configWritten?.call(this.device, offset, width, value);
  }

  get powerState(): number {
    const pm = this.capability(PM);
    return pm === undefined ? 0 : this.config.get(pm + 4, 1) & 3;
  }

  get command(): number {
    return this.config.get(COMMAND, 2);
  }

  #powerChanged(before: number, pm: number): void {
    const noSoftReset = (this.config.get(pm + 4, 2) & 8) !== 0;
    if (before === D3HOT && this.powerState === 0 && !noSoftReset) this.reset();
  }

  #deviceControlWritten(express: number): void {
    const control = this.config.get(express + 8, 2);
    // Bit 15 is "initiate FLR" only where the function has FLR; it always reads 0 (PCIe 5.0 7.5.3.4).
    this.config.set(express + 8, 2, control & 0x7fff);
    if ((control & 0x8000) !== 0 && this.#hasFlr(express)) this.reset();
  }

  #hasFlr(express: number): boolean {
    return (this.config.get(express + 4, 4) & 0x1000_0000) !== 0;
  }

  #vpdWritten(vpd: number): void {
    const address = this.config.get(vpd + 2, 2);
    const at = address & 0x7ffc;
    if ((address & VPD_FLAG) !== 0) {
      const data = this.config.get(vpd + 4, 4);
      for (let i = 0; i < 4 && at + i < this.vpd.length; i++) this.vpd[at + i] = (data >>> (8 * i)) & 0xff;
      this.config.set(vpd + 2, 2, at);
      return;
    }
    let data = 0;
    for (let i = 3; i >= 0; i--) data = data * 256 + (this.vpd[at + i] ?? 0);
    this.config.set(vpd + 4, 4, data);
    this.config.set(vpd + 2, 2, at | VPD_FLAG);
  }

  // ---- BARs ----

  /** Whether the function answers in this BAR now. */
  decodes(bar: number): boolean {
    const description = this.pci.bars[bar];
    if (this.removed || description === undefined || this.powerState !== 0) return false;
    if (this.pci.virtualFunction) return true;
    return (this.command & (description.kind === 'io' ? COMMAND_IO : COMMAND_MEMORY)) !== 0;
  }

  barRead(bar: number, offset: number, width: Width): bigint {
    const ones = (1n << BigInt(8 * width)) - 1n;
    if (!this.decodes(bar)) return ones;
    const place = this.msixTable?.at(bar, offset);
    if (place === undefined) return BigInt.asUintN(8 * width, this.device.read(bar, offset, width));
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(place.bytes[place.at + i] ?? 0xff);
    return value;
  }

  barWrite(bar: number, offset: number, width: Width, value: bigint): void {
    if (!this.decodes(bar)) return;
    const place = this.msixTable?.at(bar, offset);
    if (place === undefined) {
      this.device.write(bar, offset, width, BigInt.asUintN(8 * width, value));
      return;
    }
    if (!place.writable) return;
    for (let i = 0; i < width && place.at + i < place.bytes.length; i++)
      place.bytes[place.at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    this.#flushPending();
  }

  romRead(offset: number): number {
    return this.pci.rom?.content[offset] ?? 0xff;
  }

  // ---- what the device asks of the machine ----

  get messages(): 'none' | 'msi' | 'msix' {
    const msix = this.capability(MSIX);
    if (msix !== undefined && (this.config.get(msix + 2, 2) & MSIX_ENABLE) !== 0) return 'msix';
    const msi = this.capability(MSI);
    return msi !== undefined && (this.config.get(msi + 2, 2) & 1) !== 0 ? 'msi' : 'none';
  }

  get isMaster(): boolean {
    return !this.removed && this.powerState === 0 && (this.command & COMMAND_MASTER) !== 0;
  }

  dmaRead(iova: bigint, into: Uint8Array): boolean {
    if (this.isMaster) return this.upstream.dmaRead(iova, into);
    into.fill(0xff);
    return false;
  }

  dmaWrite(iova: bigint, from: Uint8Array): boolean {
    return this.isMaster && this.upstream.dmaWrite(iova, from);
  }

  get windows(): readonly DmaWindow[] {
    return this.upstream.windows;
  }

  message(vector: number): void {
    if (!this.isMaster) return;
    switch (this.messages) {
      case 'msix':
        this.#sendMsix(vector);
        return;
      case 'msi':
        this.#sendMsi(vector);
        return;
      case 'none':
        return;
    }
  }

  intx(asserted: boolean): void {
    if (this.pci.interruptPin === 0 || this.#intxAsserted === asserted) return;
    this.#intxAsserted = asserted;
    const status = this.config.get(STATUS, 2);
    this.config.set(STATUS, 2, asserted ? status | STATUS_INTERRUPT : status & ~STATUS_INTERRUPT);
    this.#driveIntx();
  }

  defer(work: () => void): void {
    const life = this.#life;
    this.upstream.defer(() => {
      if (life === this.#life && !this.removed) work();
    });
  }

  // ---- reset ----

  /** Whatever its cause, the function is as after power-on; what an earlier life deferred is forgotten. */
  reset(): void {
    this.#life++;
    this.config.reset();
    this.msixTable?.reset();
    this.intx(false);
    this.device.reset();
  }

  remove(): void {
    this.removed = true;
    this.#life++;
    this.upstream.intx(false);
    this.device.close?.();
    this.upstream.removed();
  }

  administer(act: AdministratorAct): void {
    this.upstream.administer(act);
  }

  #driveIntx(): void {
    const disabled = (this.command & COMMAND_INTX_DISABLE) !== 0;
    const level = this.#intxAsserted && !disabled && this.messages === 'none';
    if (level === this.#intxDriven) return;
    this.#intxDriven = level;
    this.upstream.intx(level);
  }

  get #msi(): {
    readonly mask: number;
    readonly pending: number;
    readonly data: number;
    readonly high: number;
  } {
    const at = this.capability(MSI) as number;
    const wide = (this.config.get(at + 2, 2) & 0x80) !== 0;
    const data = at + (wide ? 12 : 8);
    const maskable = (this.config.get(at + 2, 2) & 0x100) !== 0;
    return { data, high: wide ? at + 8 : 0, mask: maskable ? data + 4 : 0, pending: maskable ? data + 8 : 0 };
  }

  #sendMsix(vector: number): void {
    const table = this.msixTable;
    if (table === undefined || vector < 0 || vector >= table.vectors) return;
    const control = this.config.get((this.capability(MSIX) as number) + 2, 2);
    if ((control & MSIX_MASK_ALL) !== 0 || table.masked(vector)) {
      table.setPending(vector, true);
      return;
    }
    table.setPending(vector, false);
    const { address, data } = table.message(vector);
    this.upstream.message('msix', vector, address, data);
  }

  #sendMsi(vector: number): void {
    const at = this.capability(MSI) as number;
    const enabled = 1 << ((this.config.get(at + 2, 2) >>> 4) & 7);
    if (vector < 0 || vector >= 32) return;
    // Fewer messages than the device has vectors: they share, by the low bits (PCI 3.0 6.8.3.4).
    const shared = vector & (enabled - 1);
    const { mask, pending, data, high } = this.#msi;
    if (mask !== 0 && ((this.config.get(mask, 4) >>> shared) & 1) !== 0) {
      this.config.set(pending, 4, (this.config.get(pending, 4) | (1 << shared)) >>> 0);
      return;
    }
    const address =
      (BigInt(high === 0 ? 0 : this.config.get(high, 4)) << 32n) | BigInt(this.config.get(at + 4, 4));
    this.upstream.message('msi', shared, address, (this.config.get(data, 2) & ~(enabled - 1)) | shared);
  }

  /** Vectors that were held back are sent as soon as their mask goes. */
  #flushPending(): void {
    if (this.messages === 'msix') {
      const table = this.msixTable as MsixTable;
      const control = this.config.get((this.capability(MSIX) as number) + 2, 2);
      if ((control & MSIX_MASK_ALL) !== 0) return;
      for (let vector = 0; vector < table.vectors; vector++)
        if (table.isPending(vector) && !table.masked(vector)) this.message(vector);
    } else if (this.messages === 'msi') {
      const { mask, pending } = this.#msi;
      if (mask === 0) return;
      const waiting = this.config.get(pending, 4) & ~this.config.get(mask, 4);
      for (let vector = 0; vector < 32; vector++) {
        if (((waiting >>> vector) & 1) === 0) continue;
        this.config.set(pending, 4, (this.config.get(pending, 4) & ~(1 << vector)) >>> 0);
        this.message(vector);
      }
    }
    this.#driveIntx();
  }
}
