// SPDX-License-Identifier: Apache-2.0
/**
 * A device of ours as a client sees it: an open VFIO device file of the simulated kernel, so that config space, regions,
 * interrupts and errnos are as VFIO's are. Only its address space is the client's.
 */
import { encode, type Layout } from '../../abi/layout.js';
import { DEVICE_IOCTLS } from '../../abi/vfio/device.js';
import { DEVICE_INFO } from '../../abi/vfio/device-info.js';
import { IRQ_INFO, IRQ_SET, IRQ_SET_FLAGS } from '../../abi/vfio/irqs.js';
import { REGION_FLAGS, REGION_INFO } from '../../abi/vfio/region-info.js';
import { defaultRegionOffset } from '../../abi/vfio/regions.js';
import { EINVAL } from '../kernel/errno.js';
import type { AddressSpace } from '../kernel/iommu/mappings.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import type { Eventfd, Memory, Process } from '../kernel/process.js';
import { requestOf } from '../kernel/requests.js';
import type { DeviceSlot } from '../kernel/topology.js';
import { DeviceFile } from '../kernel/vfio/device-file.js';
import { GROUP_FILES } from '../kernel/vfio/group.js';
import { REGIONS } from '../kernel/vfio/regions.js';
import { USER_DEVICE_INFO_BYTES } from './protocol.js';

const REQUESTS = {
  info: requestOf(DEVICE_IOCTLS, 'VFIO_DEVICE_GET_INFO'),
  region: requestOf(DEVICE_IOCTLS, 'VFIO_DEVICE_GET_REGION_INFO'),
  irq: requestOf(DEVICE_IOCTLS, 'VFIO_DEVICE_GET_IRQ_INFO'),
  setIrqs: requestOf(DEVICE_IOCTLS, 'VFIO_DEVICE_SET_IRQS'),
  reset: requestOf(DEVICE_IOCTLS, 'VFIO_DEVICE_RESET'),
} as const;

const IRQ_INDEXES = 5;

/** The ioctl's argument, which is all of the caller's memory. */
class Argument implements Memory {
  constructor(readonly bytes: Uint8Array) {}

  read(address: bigint, into: Uint8Array): boolean {
    if (address + BigInt(into.length) > BigInt(this.bytes.length)) return false;
    into.set(this.bytes.subarray(Number(address), Number(address) + into.length));
    return true;
  }

  write(address: bigint, from: Uint8Array): boolean {
    if (address + BigInt(from.length) > BigInt(this.bytes.length)) return false;
    this.bytes.set(from, Number(address));
    return true;
  }
}

export class ServedDevice {
  readonly kernel: SimulatedKernel;
  readonly #file: DeviceFile;
  readonly #process: Process;
  readonly #sizes = new Map<number, bigint>();

  /** `eventfd`: what is behind a descriptor of the client's. */
  constructor(slot: DeviceSlot, space: AddressSpace, eventfd: (fd: number) => Eventfd | 'other' | undefined) {
    // Deferred work is done by hand, between messages.
    this.kernel = new SimulatedKernel({ devices: [slot], schedule: () => undefined });
    const [device] = this.kernel.devices;
    if (device === undefined) throw new Error('the kernel has no device');
    this.#process = {
      pid: 0,
      memory: new Argument(new Uint8Array()),
      pages: () => 'fault',
      memlock: 0n,
      capable: () => false,
      file: eventfd,
      install: () => -EINVAL,
    };
    this.#file = new DeviceFile(device, undefined, GROUP_FILES);
    const opened = this.#file.openByGroup({ kind: 'container', use: () => 0, unuse: () => undefined });
    if (opened !== 0) throw new Error(`the device could not be opened: errno ${-opened}`);
    device.group.domain = space;
  }

  info(): Uint8Array {
    const bytes = this.#ask(REQUESTS.info, DEVICE_INFO, {}) as Uint8Array;
    return encode(
      DEVICE_INFO,
      { argsz: USER_DEVICE_INFO_BYTES, ...numbersOf(bytes) },
      USER_DEVICE_INFO_BYTES,
    );
  }

  /** Nothing can be mapped: registers have side effects, which a page of memory has not. */
  region(index: number): Uint8Array | number {
    // The VGA region's index is there, and has no region behind it here.
    if (index === REGIONS - 1) return encode(REGION_INFO, { argsz: REGION_INFO.size, index });
    const bytes = this.#ask(REQUESTS.region, REGION_INFO, { index });
    if (typeof bytes === 'number') return bytes;
    const view = new DataView(bytes.buffer);
    const { READ, WRITE } = REGION_FLAGS.bits;
    return encode(REGION_INFO, {
      argsz: REGION_INFO.size,
      flags: view.getUint32(4, true) & (READ | WRITE),
      index,
      size: view.getBigUint64(16, true),
    });
  }

  irq(index: number): Uint8Array | number {
    return this.#ask(REQUESTS.irq, IRQ_INFO, { index });
  }

  setIrqs(structure: Uint8Array): number {
    return this.#ioctl(REQUESTS.setIrqs, structure);
  }

  reset(): number {
    return this.#ioctl(REQUESTS.reset, new Uint8Array());
  }

  /** All of it, or a negative errno. */
  access(region: number, offset: bigint, bytes: Uint8Array, write: boolean): number {
    // In VFIO's file what lies beyond a region is another one's.
    if (offset + BigInt(bytes.length) > this.#sizeOf(region)) return -EINVAL;
    if (bytes.length === 0) return 0;
    const position = defaultRegionOffset(region) + offset;
    const done = write
      ? this.kernel.pwrite(this.#file, bytes, position)
      : this.kernel.pread(this.#file, bytes, position);
    if (done < 0) return done;
    return done === bytes.length ? 0 : -EINVAL;
  }

  #sizeOf(region: number): bigint {
    let size = this.#sizes.get(region);
    if (size === undefined) {
      const info = this.region(region);
      size = typeof info === 'number' ? 0n : new DataView(info.buffer).getBigUint64(16, true);
      if (region < REGIONS) this.#sizes.set(region, size);
    }
    return size;
  }

  /** "All IRQ file descriptors passed from the old client are closed; the device state should otherwise be retained." */
  releaseInterrupts(): void {
    const { DATA_NONE, ACTION_TRIGGER } = IRQ_SET_FLAGS.bits;
    for (let index = 0; index < IRQ_INDEXES; index++) {
      const none = { argsz: IRQ_SET.size, flags: DATA_NONE | ACTION_TRIGGER, index, start: 0, count: 0 };
      this.setIrqs(encode(IRQ_SET, none));
    }
  }

  close(): void {
    this.#file.drop();
    for (const { core } of this.kernel.devices) core.pci.fn.device.close?.();
  }

  #ask<L extends Layout>(
    request: number,
    layout: L,
    values: { readonly index?: number },
  ): Uint8Array | number {
    const bytes = encode(layout, { argsz: layout.size, ...values } as never);
    const result = this.#ioctl(request, bytes);
    return result < 0 ? result : bytes;
  }

  #ioctl(request: number, bytes: Uint8Array): number {
    return this.kernel.ioctl(this.#process, this.#file, request, 0n, new Argument(bytes));
  }
}

function numbersOf(bytes: Uint8Array): {
  readonly flags: number;
  readonly num_regions: number;
  readonly num_irqs: number;
} {
  const view = new DataView(bytes.buffer);
  return {
    flags: view.getUint32(4, true),
    num_regions: view.getUint32(8, true),
    num_irqs: view.getUint32(12, true),
  };
}
