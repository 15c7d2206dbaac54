// SPDX-License-Identifier: Apache-2.0
/** The simulated kernel in this process, as the machine that a session is reissued on. */
import type { Device } from '../devices/device.js';
import { EBADF, EMFILE } from '../kernel/errno.js';
import { SimulatedKernel } from '../kernel/kernel.js';
import { LocalEventfd } from '../kernel/local-process.js';
import { type Eventfd, type Memory, OpenFile, type Pages, type Process } from '../kernel/process.js';
import { type KernelAbi, parseVariant } from '../kernel/variant.js';
import { parseDevice } from '../simulator/device-options.js';
import { PageMemory } from './page-memory.js';
import type { DeviceIds } from './same-device.js';
import { SimulatedMapping } from './simulated-mapping.js';
import type { Target, TargetEventfd, TargetMapping, TargetMemory } from './target.js';

const FDS_MAX = 65536;
const TURNS_MOST = 100;
const UNLIMITED = 2n ** 64n - 1n;
const PAGE = 4096n;
const FIRST_ADDRESS = 0x7f00_0000_0000n;
/** Arguments of ioctls lie here while they are looked at. */
const ARGUMENT_BYTES = 1n << 20n;

/** A process of which only memory, descriptors and eventfds exist. */
class ReplayProcess implements Process {
  readonly pid = 1;
  readonly memlock = UNLIMITED;
  readonly memory: PageMemory = new PageMemory();
  readonly #files = new Map<number, OpenFile | Eventfd>();
  #nextFd = 3;
  #nextAddress = FIRST_ADDRESS;

  capable(): boolean {
    return true;
  }

  /** A page lies between areas: a stray access is one. */
  allocate(length: bigint): bigint {
    const start = this.#nextAddress;
    const size = ((length + PAGE - 1n) / PAGE) * PAGE;
    this.#nextAddress = start + size + PAGE;
    this.memory.addArea(start, size);
    return start;
  }

  pages(address: bigint, length: bigint): Pages {
    return this.memory.holds(address, length) ? 'memory' : 'fault';
  }

  file(fd: number): OpenFile | Eventfd | undefined {
    return this.#files.get(fd);
  }

  install(file: OpenFile | Eventfd): number {
    if (this.#files.size >= FDS_MAX) return -EMFILE;
    const fd = this.#nextFd++;
    this.#files.set(fd, file);
    return fd;
  }

  close(fd: number): void {
    const file = this.#files.get(fd);
    this.#files.delete(fd);
    if (file instanceof OpenFile) file.drop();
  }

  exit(): void {
    for (const fd of [...this.#files.keys()].reverse()) this.close(fd);
  }
}

export class SimulatedTarget implements Target {
  readonly label: string;
  readonly bdf: string;
  readonly groupPath: string | undefined;
  readonly cdevPath: string | undefined;
  readonly lyonPath: string | undefined;
  readonly ids: DeviceIds;
  readonly #kernel: SimulatedKernel;
  /** Devices that something else drives. */
  readonly #outside: readonly Device[];
  readonly #process = new ReplayProcess();
  readonly #argument: bigint;
  /** The argument where ioctls expect it, and the process's memory everywhere else. */
  readonly #argumentMemory: Memory;
  #bytes: Uint8Array = new Uint8Array(0);

  /** `device`: as --sim has it; `variant`: as --sim-kernel has it. Throws UserError. */
  constructor(device: string, variant: string, abi: KernelAbi = 'modern') {
    this.#kernel = new SimulatedKernel({
      variant: parseVariant(variant),
      abi,
      devices: [parseDevice(device, abi)],
      // settle() does what is due.
      schedule: () => undefined,
    });
    const [placed] = this.#kernel.functions;
    if (placed === undefined) throw new Error('a simulated machine without its device');
    this.label = `sim:${device}`;
    this.bdf = placed.name;
    this.#outside = this.#kernel.functions.flatMap(({ fn }) =>
      fn.device.settle === undefined ? [] : [fn.device],
    );
    const { vendor, device: id, classCode, subsystemVendor, subsystem, revision } = placed.fn.pci;
    this.ids = {
      ...{ vendor, device: id, classCode },
      subsystemVendor: subsystemVendor ?? 0,
      subsystemDevice: subsystem ?? 0,
      revision: revision ?? 0,
    };
    const nodes = this.#kernel.nodes;
    this.groupPath = nodes.find((node) => /^\/dev\/vfio\/(noiommu-)?\d+$/.test(node));
    this.cdevPath = nodes.find((node) => node.startsWith('/dev/vfio/devices/'));
    this.lyonPath = nodes.find((node) => /^\/dev\/vfio\d+$/.test(node));
    this.#argument = this.#process.allocate(ARGUMENT_BYTES);
    const { memory } = this.#process;
    this.#argumentMemory = {
      read: (address, into) => this.#inArgument(address, into, false) || memory.read(address, into),
      write: (address, from) => this.#inArgument(address, from, true) || memory.write(address, from),
    };
  }

  /** What lies behind the argument is memory, too: a name is read in one piece, its end is looked for afterwards. */
  #inArgument(address: bigint, bytes: Uint8Array, write: boolean): boolean {
    const offset = address - this.#argument;
    if (offset < 0n || offset + BigInt(bytes.length) > ARGUMENT_BYTES) return false;
    const at = Number(offset);
    const held = this.#bytes.subarray(at, at + bytes.length);
    if (write) this.#bytes.set(bytes.subarray(0, held.length), Math.min(at, this.#bytes.length));
    else {
      bytes.fill(0);
      bytes.set(held);
    }
    return true;
  }

  #file(fd: number): OpenFile | undefined {
    const file = this.#process.file(fd);
    return file instanceof OpenFile ? file : undefined;
  }

  open(path: string): number {
    const file = this.#kernel.open(this.#process, path);
    return typeof file === 'number' ? file : this.#process.install(file);
  }

  close(fd: number): void {
    this.#process.close(fd);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    const file = this.#file(fd);
    if (file === undefined) return -EBADF;
    this.#bytes = argument;
    return this.#kernel.ioctl(this.#process, file, request, this.#argument, this.#argumentMemory);
  }

  ioctlValue(fd: number, request: number, argument: bigint): number {
    const file = this.#file(fd);
    return file === undefined ? -EBADF : this.#kernel.ioctl(this.#process, file, request, argument);
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.#file(fd)?.pread(into, offset) ?? -EBADF;
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return this.#file(fd)?.pwrite(from, offset) ?? -EBADF;
  }

  read(fd: number, into: Uint8Array): number {
    return this.#file(fd)?.read(into) ?? -EBADF;
  }

  write(fd: number, from: Uint8Array): number {
    return this.#file(fd)?.write(from) ?? -EBADF;
  }

  mmap(fd: number, offset: bigint, length: bigint, writable: boolean): TargetMapping | number {
    const file = this.#file(fd);
    if (file === undefined) return -EBADF;
    const mapped = this.#kernel.mmap(file, { offset, length, shared: true, writable });
    return typeof mapped === 'number' ? mapped : new SimulatedMapping(mapped);
  }

  memory(length: bigint): TargetMemory {
    const address = this.#process.allocate(length);
    const { memory } = this.#process;
    return {
      address,
      read: (offset, count) => {
        const bytes = new Uint8Array(count);
        memory.read(address + BigInt(offset), bytes);
        return bytes;
      },
      write: (offset, bytes) => {
        memory.write(address + BigInt(offset), bytes);
      },
      free: () => memory.removeArea(address),
    };
  }

  memoryGone(address: bigint, length: bigint): void {
    this.#kernel.memoryGone(this.#process, address, address + length);
  }

  eventfd(): TargetEventfd {
    const eventfd = new LocalEventfd();
    const fd = this.#process.install(eventfd);
    return {
      fd,
      read: () => eventfd.read(),
      wait: (ns) => {
        const until = performance.now() + ns / 1e6;
        for (;;) {
          this.settle();
          const count = eventfd.read();
          const left = until - performance.now();
          if (count > 0n || left <= 0 || this.#outside.length === 0) return count;
          for (const device of this.#outside) device.settle?.(Math.ceil(left));
        }
      },
      write: () => eventfd.write(),
      close: () => this.#process.close(fd),
    };
  }

  /** Whether what the device does takes time of its own. */
  get isOutside(): boolean {
    return this.#outside.length > 0;
  }

  settle(): void {
    for (const device of this.#outside) device.settle?.(0);
    // A device may keep itself busy for ever: then it goes on after the next call.
    for (let turn = 0; turn < TURNS_MOST && !this.#kernel.isIdle; turn++) this.#kernel.settle();
  }

  end(): void {
    this.#process.exit();
    for (const { fn } of this.#kernel.functions) fn.device.close?.();
  }
}
