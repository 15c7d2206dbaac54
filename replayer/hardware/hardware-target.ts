// SPDX-License-Identifier: Apache-2.0
/** A device of this machine, by its own VFIO, as what a session is reissued on. */
import { requestNumber } from '../../abi/ioctls.js';
import { CONFIG_REGION, defaultRegionOffset } from '../../abi/vfio/regions.js';
import { NativeAccess } from '../native/access.js';
import { Libc } from '../native/libc.js';
import type { Target, TargetEventfd, TargetMapping, TargetMemory } from '../replay/target.js';
import type { HardwareDevice } from './find-device.js';
import { HardwareMapping } from './hardware-mapping.js';

const O_RDWR = 0o2;
const O_CLOEXEC = 0o2000000;
const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;
const PAGE = 4096n;

const GET_DEVICE_FD = requestNumber('VFIO_GROUP_GET_DEVICE_FD');
const DEVICE_RESET = requestNumber('VFIO_DEVICE_RESET');

/** Capabilities like MSI-X lie below. */
export const STANDARD_CONFIG_BYTES = 256;
const COMMAND = 4n;
const COMMAND_MASTER = 4;

export class HardwareTarget implements Target {
  readonly label: string;
  readonly bdf: string;
  readonly groupPath: string | undefined;
  readonly cdevPath: string | undefined;
  readonly #libc = new Libc();
  readonly #access = new NativeAccess();
  readonly #fds = new Set<number>();
  readonly #devices = new Set<number>();
  readonly #mappings = new Set<TargetMapping>();

  /** Throws UserError where nothing native can be called. */
  constructor({ bdf, groupPath, cdevPath }: Pick<HardwareDevice, 'bdf' | 'groupPath' | 'cdevPath'>) {
    this.label = `hardware:${bdf}`;
    this.bdf = bdf;
    this.groupPath = groupPath;
    this.cdevPath = cdevPath;
  }

  open(path: string): number {
    const fd = this.#libc.open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return fd;
    this.#fds.add(fd);
    if (path === this.cdevPath) this.#devices.add(fd);
    return fd;
  }

  close(fd: number): void {
    this.#devices.delete(fd);
    this.#fds.delete(fd);
    this.#libc.close(fd);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    const result = this.#libc.ioctl(fd, request, argument);
    if (request === GET_DEVICE_FD && result >= 0) {
      this.#fds.add(result);
      this.#devices.add(result);
    }
    return result;
  }

  ioctlValue(fd: number, request: number, argument: bigint): number {
    return this.#libc.ioctlValue(fd, request, argument);
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.#libc.pread(fd, into, offset);
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return this.#libc.pwrite(fd, from, offset);
  }

  /** Writable in any case: a driver may have changed the protection later on. */
  mmap(fd: number, offset: bigint, length: bigint): TargetMapping | number {
    const address = this.#libc.mmap(fd, offset, length, true);
    if (address < 0n) return Number(address);
    const mapping = new HardwareMapping(this.#access, address, (gone) => {
      if (this.#mappings.delete(gone)) this.#libc.munmap(address, length);
    });
    this.#mappings.add(mapping);
    return mapping;
  }

  memory(length: bigint): TargetMemory {
    const size = length > 0n ? ((length + PAGE - 1n) / PAGE) * PAGE : PAGE;
    // What a call writes further than the recording says ends there, with EFAULT.
    const address = this.#libc.allocateGuarded(size, PAGE);
    // What can't be had is an address that the call will refuse.
    if (address < 0n)
      return { address: 0n, read: (_, count) => new Uint8Array(count), write: () => {}, free: () => {} };
    const view = (offset: number, count: number) => this.#libc.view(address + BigInt(offset), count);
    return {
      address,
      read: (offset, count) => view(offset, count).slice(),
      write: (offset, bytes) => view(offset, bytes.length).set(bytes),
      free: () => {
        this.#libc.munmap(address, size + PAGE);
      },
    };
  }

  eventfd(): TargetEventfd {
    const libc = this.#libc;
    const fd = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw new Error(`eventfd: errno ${-fd}`);
    this.#fds.add(fd);
    const counter = new BigUint64Array(new ArrayBuffer(8));
    const bytes = new Uint8Array(counter.buffer);
    const read = () => (libc.read(fd, bytes) === 8 ? (counter[0] as bigint) : 0n);
    return {
      fd,
      read,
      wait: (ns) => (libc.pollIn(fd, Math.ceil(ns / 1e6)) > 0 ? read() : 0n),
      write: () => {
        counter[0] = 1n;
        libc.write(fd, bytes);
      },
      close: () => this.close(fd),
    };
  }

  settle(): void {}

  /** The standard part of the open device's configuration space; undefined when none is open. */
  config(): Uint8Array | undefined {
    const [fd] = this.#devices;
    const bytes = new Uint8Array(new ArrayBuffer(STANDARD_CONFIG_BYTES));
    if (fd === undefined) return undefined;
    return this.#libc.pread(fd, bytes, defaultRegionOffset(CONFIG_REGION)) === bytes.length
      ? bytes
      : undefined;
  }

  /**
   * A device that is open is reset, and where it has no reset it stops being a bus master before the mappings go. What
   * the session itself closed, the kernel reset (vfio_pci_core.c vfio_pci_core_disable).
   */
  end(): void {
    for (const fd of this.#devices) {
      if (this.#libc.ioctlValue(fd, DEVICE_RESET, 0n) >= 0) continue;
      const command = new Uint8Array(new ArrayBuffer(2));
      const offset = defaultRegionOffset(CONFIG_REGION) + COMMAND;
      if (this.#libc.pread(fd, command, offset) !== 2) continue;
      const held = command[0] as number;
      if ((held & COMMAND_MASTER) === 0) continue;
      command[0] = held & ~COMMAND_MASTER;
      this.#libc.pwrite(fd, command, offset);
    }
    for (const mapping of [...this.#mappings]) mapping.unmap();
    for (const fd of [...this.#fds].reverse()) this.close(fd);
  }
}
