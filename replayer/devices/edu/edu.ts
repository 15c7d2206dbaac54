// SPDX-License-Identifier: Apache-2.0
/** QEMU's teaching device (docs/specs/edu.rst): inverter, factorial, DMA to a buffer, MSI or INTx. */
import type { Device, Host, Width } from '../device.js';
import { msi } from '../pci/capabilities.js';
import type { PciDescription } from '../pci/description.js';

export const EDU_PCI: PciDescription = {
  vendor: 0x1234,
  device: 0x11e8,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  classCode: 0x00ff00,
  revision: 0x10,
  interruptPin: 1,
  interruptLine: 0x0b,
  command: 0x0103,
  bars: [{ size: 0x10_0000, kind: 'memory32' }],
  configSize: 256,
  capabilities: [msi({ offset: 0x40, vectors: 1 })],
};

const IDENTIFICATION = 0x0100_00edn;
const STATUS_COMPUTING = 0x01n;
const STATUS_INTERRUPTS = 0x80n;
const FACTORIAL_DONE = 0x0000_0001n;

const DMA_RUN = 1n;
const DMA_TO_MEMORY = 2n;
const DMA_INTERRUPTS = 4n;
const DMA_DONE = 0x0000_0100n;
const BUFFER_START = 0x4_0000n;
const BUFFER_SIZE = 4096n;
/** The device drives 28 address lines. */
const ADDRESS_MASK = 0x0fff_ffffn;

const REGISTERS_64 = 0x80;

export class Edu implements Device {
  readonly pci: PciDescription;
  #host!: Host;
  #liveness = 0n;
  #factorial = 0n;
  #status = 0n;
  #interrupts = 0n;
  #dma = { source: 0n, destination: 0n, count: 0n, command: 0n };
  readonly #buffer = new Uint8Array(Number(BUFFER_SIZE));

  constructor(pci: Partial<PciDescription> = {}) {
    this.pci = { ...EDU_PCI, ...pci };
  }

  attach(host: Host): void {
    this.#host = host;
  }

  read(_bar: number, offset: number, width: Width): bigint {
    const ones = (1n << BigInt(8 * width)) - 1n;
    if (!isAllowed(offset, width)) return ones;
    switch (offset) {
      case 0x00:
        return IDENTIFICATION;
      case 0x04:
        return this.#liveness;
      case 0x08:
        return this.#factorial;
      case 0x20:
        return this.#status;
      case 0x24:
        return this.#interrupts;
      case 0x80:
        return this.#dma.source;
      case 0x88:
        return this.#dma.destination;
      case 0x90:
        return this.#dma.count;
      case 0x98:
        return this.#dma.command;
      default:
        return ones;
    }
  }

  write(_bar: number, offset: number, width: Width, value: bigint): void {
    if (!isAllowed(offset, width)) return;
    switch (offset) {
      case 0x04:
        this.#liveness = BigInt.asUintN(32, ~value);
        return;
      case 0x08:
        this.#startFactorial(value);
        return;
      case 0x20:
        this.#status = (this.#status & ~STATUS_INTERRUPTS) | (value & STATUS_INTERRUPTS);
        return;
      case 0x60:
        this.#raise(value);
        return;
      case 0x64:
        this.#acknowledge(value);
        return;
      case 0x80:
      case 0x88:
      case 0x90:
      case 0x98:
        this.#writeDma(offset, value);
        return;
      default:
        return;
    }
  }

  reset(): void {
    this.#liveness = 0n;
    this.#factorial = 0n;
    this.#status = 0n;
    this.#interrupts = 0n;
    this.#dma = { source: 0n, destination: 0n, count: 0n, command: 0n };
  }

  #startFactorial(value: bigint): void {
    if ((this.#status & STATUS_COMPUTING) !== 0n) return;
    this.#factorial = value;
    this.#status |= STATUS_COMPUTING;
    this.#host.defer(() => {
      this.#factorial = factorial(this.#factorial);
      this.#status &= ~STATUS_COMPUTING;
      if ((this.#status & STATUS_INTERRUPTS) !== 0n) this.#raise(FACTORIAL_DONE);
    });
  }

  /** While a transfer runs its registers can't be changed. */
  #writeDma(offset: number, value: bigint): void {
    const dma = this.#dma;
    if ((dma.command & DMA_RUN) !== 0n) return;
    if (offset === 0x80) dma.source = value;
    else if (offset === 0x88) dma.destination = value;
    else if (offset === 0x90) dma.count = value;
    else if ((value & DMA_RUN) !== 0n) {
      dma.command = value;
      this.#host.defer(() => this.#transfer());
    }
  }

  #transfer(): void {
    const { source, destination, count, command } = this.#dma;
    const toMemory = (command & DMA_TO_MEMORY) !== 0n;
    const inside = (toMemory ? source : destination) - BUFFER_START;
    if (inside >= 0n && inside + count <= BUFFER_SIZE) {
      const piece = this.#buffer.subarray(Number(inside), Number(inside + count));
      if (toMemory) this.#host.dmaWrite(destination & ADDRESS_MASK, piece);
      else this.#host.dmaRead(source & ADDRESS_MASK, piece);
    }
    this.#dma.command &= ~DMA_RUN;
    if ((command & DMA_INTERRUPTS) !== 0n) this.#raise(DMA_DONE);
  }

  #raise(bits: bigint): void {
    this.#interrupts |= BigInt.asUintN(32, bits);
    if (this.#interrupts === 0n) return;
    if (this.#host.messages === 'none') this.#host.intx(true);
    else this.#host.message(0);
  }

  #acknowledge(bits: bigint): void {
    this.#interrupts &= ~bits;
    if (this.#interrupts === 0n) this.#host.intx(false);
  }
}

/** 32 bits below 0x80, 32 or 64 above. */
function isAllowed(offset: number, width: Width): boolean {
  return width === 4 || (width === 8 && offset >= REGISTERS_64);
}

/** In 32 bits, which overflow: beyond 33! nothing but zeros is left. */
function factorial(of: bigint): bigint {
  if (of > 33n) return 0n;
  let value = 1n;
  for (let i = 2n; i <= of; i++) value = BigInt.asUintN(32, value * i);
  return value;
}
