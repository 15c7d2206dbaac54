// SPDX-License-Identifier: Apache-2.0
/**
 * `--sim vfio-user:SOCKET`: somebody else's device model under the simulated kernel. Loads and stores travel as messages, its
 * DMA comes as messages and goes through the simulated IOMMU: a driver's memory is its own, there is no descriptor of it.
 */
import { encode } from '../../abi/layout.js';
import { errnoName } from '../../abi/linux/errno.js';
import { CONFIG_REGION } from '../../abi/vfio/regions.js';
import type { Device, Host, MemoryChange, Width } from '../devices/device.js';
import { EXPRESS } from '../devices/pci/capabilities.js';
import { BAR0, CAPABILITIES_POINTER, COMMAND, ROM_ADDRESS } from '../devices/pci/config-space.js';
import type { PciDescription } from '../devices/pci/description.js';
import { DMA_READ, DMA_WRITE } from '../kernel/iommu/mappings.js';
import { Libc } from '../native/libc.js';
import { Command, DMA_MAP, DMA_UNMAP } from './protocol.js';
import { askFunction, type RemoteFunction, readRegion, writeRegion } from './remote-function.js';
import { type MessageKind, RemoteInterrupts } from './remote-interrupts.js';
import { ServerConnection } from './server-connection.js';

interface Connected {
  readonly server: ServerConnection;
  readonly fn: RemoteFunction;
  readonly interrupts: RemoteInterrupts;
}

/** PCI 3.0 §6.2.2, in the Command register's second byte. */
const INTERRUPT_DISABLE_HIGH = 0x04;

export class RemoteDevice implements Device {
  #connected: Connected | undefined;
  #host: Host | undefined;
  #intxPending = false;
  #gone = false;
  /** The Command register as the server has it. */
  readonly #command = new Uint8Array(2);

  constructor(
    readonly path: string,
    readonly report: (line: string) => void,
  ) {}

  /** Connects, when it is asked for the first time: who only looks whether a command line is right needs no server. */
  get pci(): PciDescription {
    return this.#remote().fn.pci;
  }

  attach(host: Host): void {
    this.#host = host;
    const { server, interrupts } = this.#remote();
    server.dma = {
      read: (address, into) => host.dmaRead(address, into),
      write: (address, from) => host.dmaWrite(address, from),
    };
    server.onLoss = (why) => {
      this.#say(`the server is gone: ${why}; its device reads as ones`);
      this.#gone = true;
      host.remove();
    };
    server.listen();
    // Whatever an earlier client left it in.
    this.reset();
    interrupts.route('none');
  }

  read(bar: number, offset: number, width: Width): bigint {
    const ones = (1n << BigInt(8 * width)) - 1n;
    const answer = readRegion(this.#remote().server, bar, offset, width);
    const value = typeof answer === 'number' ? ones : littleEndian(answer);
    this.#looked();
    return value;
  }

  write(bar: number, offset: number, width: Width, value: bigint): void {
    writeRegion(this.#remote().server, bar, offset, bytesOf(value, width));
    this.#looked();
  }

  reset(): void {
    const { server, fn } = this.#remote();
    this.#intxPending = false;
    if (fn.canReset) {
      const answer = server.ask(Command.DEVICE_RESET, new Uint8Array());
      if (typeof answer === 'number') this.#say(`VFIO_USER_DEVICE_RESET: ${errnoName(-answer)}`);
    }
    // VFIO restores configuration space after a reset; here it is as after power-on.
    writeRegion(server, CONFIG_REGION, COMMAND, bytesOf(0n, 2));
    this.#command.fill(0);
    this.#routeInterrupts();
  }

  configRead(offset: number, width: 1 | 2 | 4): number | undefined {
    const { server, fn } = this.#remote();
    if (fn.kept.has(offset)) return undefined;
    const answer = readRegion(server, CONFIG_REGION, offset, width);
    return typeof answer === 'number' ? undefined : Number(littleEndian(answer));
  }

  configWritten(offset: number, width: Width, value: number): void {
    // Addresses of BARs and ROM mean something on this side only.
    const isAddress = (offset >= BAR0 && offset < CAPABILITIES_POINTER) || offset === ROM_ADDRESS;
    const bytes = bytesOf(BigInt(this.#withoutFlr(offset, value)), width);
    if (!isAddress && !this.#isInterruptDisable(offset, bytes)) {
      const { server } = this.#remote();
      writeRegion(server, CONFIG_REGION, offset, bytes);
    }
    this.#routeInterrupts();
  }

  /**
   * The kernel masks INTx by the Command register each time that it comes. A server has masked it already, and one without a
   * twin socket can't take a command while it waits for the answer to its DMA, which often follows an interrupt: libvfio-user
   * ends then. So Interrupt Disable stays on this side, and a write of nothing else is not made.
   */
  #isInterruptDisable(offset: number, bytes: Uint8Array): boolean {
    const before = this.#command.slice();
    const high = COMMAND + 1 - offset;
    if (bytes[high] !== undefined) bytes[high] = (bytes[high] ?? 0) & ~INTERRUPT_DISABLE_HIGH;
    for (const at of [0, 1]) this.#command[at] = bytes[COMMAND + at - offset] ?? (before[at] as number);
    const isCommand = offset >= COMMAND && offset + bytes.length <= COMMAND + 2 && bytes[high] !== undefined;
    return isCommand && this.#command.every((byte, at) => byte === before[at]);
  }

  memoryChanged({ start, last, readable, writable, mapped }: MemoryChange): void {
    const { server } = this.#remote();
    const flags = (readable ? DMA_READ : 0) | (writable ? DMA_WRITE : 0);
    const range = { address: start, size: last - start + 1n };
    const answer = mapped
      ? server.ask(Command.DMA_MAP, encode(DMA_MAP, { argsz: DMA_MAP.size, flags, ...range }))
      : server.ask(Command.DMA_UNMAP, encode(DMA_UNMAP, { argsz: DMA_UNMAP.size, ...range }));
    if (typeof answer === 'number')
      this.#say(
        `the server refuses to ${mapped ? 'map' : 'unmap'} 0x${start.toString(16)}-0x${last.toString(16)}: ${errnoName(-answer)}`,
      );
  }

  settle(milliseconds: number): void {
    this.#connected?.server.readiness.poll(milliseconds);
  }

  close(): void {
    const connected = this.#connected;
    if (connected === undefined) return;
    connected.server.onLoss = () => undefined;
    connected.interrupts.release();
    connected.server.close();
  }

  #remote(): Connected {
    if (this.#connected !== undefined) return this.#connected;
    const server = new ServerConnection(new Libc(), this.path);
    let fn: RemoteFunction;
    try {
      fn = askFunction(server);
    } catch (error) {
      server.close();
      throw error;
    }
    const interrupts = new RemoteInterrupts(
      server,
      fn.vectors,
      (kind, vector) => this.#interrupted(kind, vector),
      (line) => this.#say(line),
    );
    this.#connected = { server, fn, interrupts };
    return this.#connected;
  }

  #routeInterrupts(): void {
    const { interrupts } = this.#remote();
    if (this.#host !== undefined) interrupts.route(this.#host.messages);
  }

  #interrupted(kind: MessageKind, vector: number): void {
    if (kind !== 'none') {
      this.#host?.message(vector);
      return;
    }
    this.#intxPending = true;
    this.#host?.intx(true);
  }

  /**
   * A server masks INTx when it signals it, and nobody tells this side when the device lets go of the pin: as QEMU does
   * (hw/vfio/pci.c: vfio_pci_intx_eoi), any access of the driver's to a BAR is taken for its answer.
   */
  #looked(): void {
    if (!this.#intxPending) return;
    this.#intxPending = false;
    this.#host?.intx(false);
    this.#remote().interrupts.unmaskIntx();
  }

  /** "Initiate function level reset" has become VFIO_USER_DEVICE_RESET before. */
  #withoutFlr(offset: number, value: number): number {
    const express = this.pci.capabilities.find(({ id }) => id === EXPRESS);
    return express !== undefined && offset === express.offset + 8 ? value & ~0x8000 : value;
  }

  /** What follows from its being gone is not said again. */
  #say(line: string): void {
    if (this.#gone) return;
    this.report(`vfio-user:${this.path}: ${line}`);
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

function bytesOf(value: bigint, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}
