// SPDX-License-Identifier: Apache-2.0
/**
 * A register file for tests: any ids, BARs and capabilities, registers with values and write masks, and what stores
 * set off: interrupts, DMA, faults.
 */
import type { Device, Host, Width } from '../device.js';
import type { PciDescription } from '../pci/description.js';
import { SparseMemory } from './sparse-memory.js';

/** A register that is more than memory. */
export interface GenericRegister {
  readonly bar: number;
  readonly offset: number;
  readonly width: Width;
  readonly value?: bigint;
  /** Bits that a store changes; all when absent. */
  readonly writable?: bigint;
  /** Bits that a store of ones clears. */
  readonly clearedByOnes?: bigint;
}

export type GenericAction =
  | { readonly do: 'message'; readonly vector: number }
  | { readonly do: 'intx'; readonly asserted: boolean }
  /** Copies between the registers and memory; the stored value is the IOVA. */
  | { readonly do: 'dma-read' | 'dma-write'; readonly at: number; readonly length: number }
  /** The device resets itself, without asking anybody: BARs and command register are gone. */
  | { readonly do: 'forget' }
  /** The device is pulled out. */
  | { readonly do: 'vanish' }
  /** Whoever runs the machine wants the device back, or the machine to sleep: drivers are told. */
  | { readonly do: 'take-away' | 'suspend' };

/** What a store to a register sets off. */
export interface GenericTrigger {
  readonly bar: number;
  readonly offset: number;
  /** Only when this value is stored. */
  readonly value?: bigint;
  readonly action: GenericAction;
}

export interface GenericOptions {
  readonly pci: PciDescription;
  readonly registers?: readonly GenericRegister[];
  readonly triggers?: readonly GenericTrigger[];
}

export class Generic implements Device {
  readonly pci: PciDescription;
  readonly #options: GenericOptions;
  readonly #bars: readonly SparseMemory[] = Array.from({ length: 6 }, () => new SparseMemory());
  #host!: Host;

  constructor(options: GenericOptions) {
    this.#options = options;
    this.pci = options.pci;
    this.reset();
  }

  usesRegisters(bar: number, from: number, to: number): boolean {
    const { registers = [], triggers = [] } = this.#options;
    const within = (place: { readonly bar: number; readonly offset: number }, width: number) =>
      place.bar === bar && place.offset < to && place.offset + width > from;
    return registers.some((one) => within(one, one.width)) || triggers.some((one) => within(one, 1));
  }

  attach(host: Host): void {
    this.#host = host;
  }

  read(bar: number, offset: number, width: Width): bigint {
    return this.#bars[bar]?.read(offset, width) ?? 0n;
  }

  write(bar: number, offset: number, width: Width, value: bigint): void {
    const memory = this.#bars[bar];
    if (memory === undefined) return;
    const register = this.#options.registers?.find((one) => one.bar === bar && one.offset === offset);
    if (register === undefined) memory.write(offset, width, value);
    else {
      const held = memory.read(offset, width);
      const { clearedByOnes = 0n } = register;
      const writable = (register.writable ?? -1n) & ~clearedByOnes;
      const kept = held & ~(value & clearedByOnes);
      memory.write(offset, width, BigInt.asUintN(8 * width, (kept & ~writable) | (value & writable)));
    }
    for (const trigger of this.#options.triggers ?? []) {
      const hit = trigger.bar === bar && trigger.offset === offset;
      if (hit && (trigger.value === undefined || trigger.value === value))
        this.#act(bar, trigger.action, value);
    }
  }

  reset(): void {
    for (const bar of this.#bars) bar.clear();
    for (const { bar, offset, width, value = 0n } of this.#options.registers ?? [])
      this.#bars[bar]?.write(offset, width, value);
  }

  #act(bar: number, action: GenericAction, value: bigint): void {
    const host = this.#host;
    switch (action.do) {
      case 'message':
        host.message(action.vector);
        return;
      case 'intx':
        host.intx(action.asserted);
        return;
      case 'dma-read':
      case 'dma-write':
        host.defer(() => this.#copy(bar, action.do, action.at, action.length, value));
        return;
      case 'forget':
        host.reset();
        return;
      case 'vanish':
        host.remove();
        return;
      case 'take-away':
      case 'suspend':
        host.defer(() => host.administer(action.do));
        return;
    }
  }

  #copy(bar: number, direction: 'dma-read' | 'dma-write', at: number, length: number, iova: bigint): void {
    const memory = this.#bars[bar] as SparseMemory;
    const bytes = new Uint8Array(length);
    if (direction === 'dma-write') {
      for (let i = 0; i < length; i++) bytes[i] = Number(memory.read(at + i, 1));
      this.#host.dmaWrite(iova, bytes);
      return;
    }
    this.#host.dmaRead(iova, bytes);
    bytes.forEach((byte, i) => {
      memory.write(at + i, 1, BigInt(byte));
    });
  }
}
