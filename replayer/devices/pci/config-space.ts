// SPDX-License-Identifier: Apache-2.0
/** The physical configuration space of a function: what its silicon keeps, and which bits a write reaches. */
import type { BarDescription, CapabilityDescription, PciDescription } from './description.js';

export const COMMAND = 0x04;
export const STATUS = 0x06;
export const BAR0 = 0x10;
export const ROM_ADDRESS = 0x30;
export const CAPABILITIES_POINTER = 0x34;
export const INTERRUPT_LINE = 0x3c;
export const INTERRUPT_PIN = 0x3d;

export const COMMAND_IO = 0x0001;
export const COMMAND_MEMORY = 0x0002;
export const COMMAND_MASTER = 0x0004;
export const COMMAND_INTX_DISABLE = 0x0400;
export const STATUS_INTERRUPT = 0x0008;
const STATUS_CAPABILITIES = 0x0010;

// I/O, memory, master, parity, SERR; DisINTx where the device has it.
const COMMAND_WRITABLE = 0x0147;
const STATUS_WRITE_ONE_TO_CLEAR = 0xf900;

export class ConfigSpace {
  readonly bytes: Uint8Array;
  readonly #powerOn: Uint8Array;
  readonly #writable: Uint8Array;
  readonly #clear: Uint8Array;

  constructor(pci: PciDescription) {
    this.bytes = new Uint8Array(pci.configSize);
    this.#writable = new Uint8Array(pci.configSize);
    this.#clear = new Uint8Array(pci.configSize);
    this.#header(pci);
    this.#bars(pci);
    this.#chain(pci);
    this.#extendedChain(pci);
    for (const [offset, value] of pci.gaps ?? []) {
      this.bytes[offset] = value;
      this.#writable[offset] = 0xff;
    }
    this.#powerOn = this.bytes.slice();
    this.set(COMMAND, 2, pci.command ?? 0);
  }

  get size(): number {
    return this.bytes.length;
  }

  get(offset: number, width: 1 | 2 | 4): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.bytes[offset + i] ?? 0xff);
    return value;
  }

  /** What the silicon itself changes; masks don't apply. */
  set(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < width; i++) this.bytes[offset + i] = (value >>> (8 * i)) & 0xff;
  }

  /** A configuration write from the bus. */
  write(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < width && offset + i < this.bytes.length; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const mask = this.#writable[at] as number;
      const kept = (this.bytes[at] as number) & ~(byte & (this.#clear[at] as number));
      this.bytes[at] = (kept & ~mask) | (byte & mask);
    }
  }

  /** Registers as at power-on: BARs lose their addresses, everything is disabled. */
  reset(): void {
    this.bytes.set(this.#powerOn);
  }

  #mask(offset: number, width: 1 | 2 | 4, mask: number): void {
    for (let i = 0; i < width; i++) this.#writable[offset + i] = (mask >>> (8 * i)) & 0xff;
  }

  #header(pci: PciDescription): void {
    this.set(0x00, 2, pci.virtualFunction ? 0xffff : pci.vendor);
    this.set(0x02, 2, pci.virtualFunction ? 0xffff : pci.device);
    this.set(0x08, 1, pci.revision ?? 0);
    this.set(0x09, 1, pci.classCode & 0xff);
    this.set(0x0a, 2, pci.classCode >>> 8);
    this.set(0x2c, 2, pci.subsystemVendor ?? 0);
    this.set(0x2e, 2, pci.subsystem ?? 0);
    if (!pci.virtualFunction) {
      this.set(INTERRUPT_PIN, 1, pci.interruptPin);
      this.set(INTERRUPT_LINE, 1, pci.interruptLine ?? 0);
      this.#mask(INTERRUPT_LINE, 1, 0xff);
      this.#mask(0x0c, 1, 0xff);
    }
    const command = pci.virtualFunction ? 0x0004 : COMMAND_WRITABLE;
    const maskable = pci.virtualFunction ? false : (pci.intxMasking ?? true);
    this.#mask(COMMAND, 2, command | (maskable ? COMMAND_INTX_DISABLE : 0));
    for (let i = 0; i < 2; i++) this.#clear[STATUS + i] = (STATUS_WRITE_ONE_TO_CLEAR >>> (8 * i)) & 0xff;
    if (pci.capabilities.length > 0) this.set(STATUS, 2, STATUS_CAPABILITIES);
  }

  #bars(pci: PciDescription): void {
    if (pci.virtualFunction) return;
    pci.bars.forEach((bar, index) => {
      if (bar === undefined) return;
      const offset = BAR0 + 4 * index;
      const mask = BigInt.asUintN(64, ~(BigInt(bar.size) - 1n));
      this.set(offset, 4, barFlags(bar));
      this.#mask(offset, 4, Number(mask & 0xffff_ffffn));
      if (bar.kind === 'memory64') this.#mask(offset + 4, 4, Number(mask >> 32n));
    });
    if (pci.rom !== undefined) this.#mask(ROM_ADDRESS, 4, (~(pci.rom.size - 1) | 1) >>> 0);
  }

  #place(capability: CapabilityDescription): void {
    this.bytes.set(capability.bytes, capability.offset);
    if (capability.writable !== undefined) this.#writable.set(capability.writable, capability.offset);
    if (capability.writeOneToClear !== undefined)
      this.#clear.set(capability.writeOneToClear, capability.offset);
  }

  #chain(pci: PciDescription): void {
    let pointer = CAPABILITIES_POINTER;
    for (const capability of pci.capabilities) {
      this.#place(capability);
      this.set(pointer, 1, capability.offset);
      this.set(capability.offset, 1, capability.id);
      this.set(capability.offset + 1, 1, 0);
      pointer = capability.offset + 1;
    }
  }

  #extendedChain(pci: PciDescription): void {
    let last: number | undefined;
    for (const capability of pci.extendedCapabilities ?? []) {
      this.#place(capability);
      this.set(capability.offset, 4, capability.id | ((capability.version ?? 1) << 16));
      if (last !== undefined) this.set(last, 4, (this.get(last, 4) | (capability.offset << 20)) >>> 0);
      last = capability.offset;
    }
  }
}

/** The read-only bits of a BAR (PCI 3.0 6.2.5.1). */
export function barFlags(bar: BarDescription): number {
  if (bar.kind === 'io') return 1;
  return (bar.kind === 'memory64' ? 4 : 0) | (bar.prefetchable ? 8 : 0);
}
