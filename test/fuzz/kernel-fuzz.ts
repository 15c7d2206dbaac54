// SPDX-License-Identifier: Apache-2.0
/**
 * A driver that does anything: random ioctls with random arguments, config and BAR writes, doorbells, mappings,
 * DMA by the devices inside and outside of what is mapped. The kernel must answer every call, soon, with an errno or
 * a result, and devices must touch nothing but memory that is mapped for DMA at that moment.
 */
import { IOCTLS_BY_KIND } from '../../abi/ioctls.js';
import { Edu } from '../../replayer/devices/edu/edu.js';
import { e1000e } from '../../replayer/devices/lab/lab-devices.js';
import { Nvme } from '../../replayer/devices/nvme/nvme.js';
import { MemoryStorage } from '../../replayer/devices/nvme/storage.js';
import { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import { LocalProcess } from '../../replayer/kernel/local-process.js';
import { type Mapping, OpenFile } from '../../replayer/kernel/process.js';
import { type KernelVariant, parseVariant } from '../../replayer/kernel/variant.js';
import { Random } from './random.js';

export interface FuzzResult {
  readonly calls: number;
  readonly succeeded: number;
  readonly faults: number;
  /** Bytes of DMA that the devices did, all of them in mappings. */
  readonly dmaBytes: number;
  /** Milliseconds of the slowest call. */
  readonly slowest: number;
  readonly slowestCall: string;
  readonly byCall: ReadonlyMap<string, number>;
}

const VARIANTS = [
  '',
  'version=6.1',
  'iommu=amd',
  'iommu=virtio,unsafe-interrupts=on',
  'iommu=none,noiommu=on',
];
/** After that many, random writes have put everything to sleep. */
const CALLS_A_MACHINE = 600;
const ARENA = 1 << 20;
const SCRATCH = 8192;
const REQUESTS = [
  ...new Set(Object.values(IOCTLS_BY_KIND).flatMap((list) => list.map(({ request }) => request))),
];

/** Numbers that are more interesting than others. */
const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 24, 32, 40, 64, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

export class KernelFuzz {
  readonly #random: Random;
  #kernel!: SimulatedKernel;
  #process!: LocalProcess;
  #arena!: { readonly address: bigint; readonly bytes: Uint8Array };
  #scratch!: { readonly address: bigint; readonly bytes: Uint8Array };
  #guard!: { readonly address: bigint; readonly bytes: Uint8Array };
  #fds: number[] = [];
  #mappings: Mapping[] = [];
  #eventfds: number[] = [];
  #calls = 0;
  #succeeded = 0;
  #faults = 0;
  #dmaBytes = 0;
  #slowest = 0;
  #slowestCall = '';
  readonly #byCall = new Map<string, number>();

  constructor(readonly seed: number) {
    this.#random = new Random(seed);
  }

  /** As many calls as asked for, on a new machine every few hundred of them. */
  run(calls: number): FuzzResult {
    while (this.#calls < calls) this.#machine(Math.min(calls, this.#calls + CALLS_A_MACHINE));
    return {
      calls: this.#calls,
      succeeded: this.#succeeded,
      faults: this.#faults,
      dmaBytes: this.#dmaBytes,
      slowest: this.#slowest,
      slowestCall: this.#slowestCall,
      byCall: this.#byCall,
    };
  }

  #machine(until: number): void {
    const variant = parseVariant(this.#random.pick(VARIANTS));
    this.#boot(variant);
    // Most machines begin as an honest driver would, or nothing behind SET_IOMMU would ever be reached.
    if (this.#random.chance(0.8)) this.#setUp(variant);
    while (this.#calls < until) this.#step();
    for (const mapping of this.#mappings) mapping.unmap();
    this.#process.exit();
    this.#kernel.settle();
    this.#faults += this.#kernel.faults.count;
    if (this.#guard.bytes.some((byte) => byte !== 0xa5))
      throw new Error('memory that was never mapped was written');
    for (const device of this.#kernel.devices)
      if (device.isOpen) throw new Error(`${device.name} is open after its process is gone`);
  }

  #boot(variant: KernelVariant): void {
    this.#kernel = new SimulatedKernel({
      variant,
      schedule: () => {},
      devices: [
        { device: new Nvme({ storage: new MemoryStorage(1 << 20) }) },
        { device: new Edu() },
        { device: e1000e(), bdf: '0000:01:00.0' },
        { device: new Edu({ bars: [{ size: 0x10_0000, kind: 'memory32' }] }), bdf: '0000:01:00.1' },
      ],
    });
    const capabilities = this.#random.chance(0.9) ? (['IPC_LOCK', 'SYS_RAWIO', 'SYS_RESOURCE'] as const) : [];
    this.#process = new LocalProcess({ capabilities, memlock: 1n << 20n });
    this.#watchMemory();
    this.#arena = this.#process.map(ARENA);
    this.#scratch = this.#process.map(SCRATCH);
    this.#guard = this.#process.map(ARENA);
    this.#guard.bytes.fill(0xa5);
    this.#fds = [];
    this.#mappings = [];
    this.#eventfds = Array.from({ length: 4 }, () => this.#process.eventfd().fd);
  }

  /** Every byte that a device reads or writes must be in a mapping that is live at this moment. */
  #watchMemory(): void {
    const { memory } = this.#process;
    const kernel = this.#kernel;
    const check = (address: bigint, length: number) => {
      if (!this.#inDevice) return;
      this.#dmaBytes += length;
      const inside = (start: bigint, size: number) =>
        address >= start && address + BigInt(length) <= start + BigInt(size);
      if (!inside(this.#arena.address, ARENA)) throw new Error(`a device touched 0x${address.toString(16)}`);
      const mapped = kernel.devices.some(({ group }) => group.domain !== undefined);
      if (!mapped) throw new Error('a device did DMA though no device is in an address space');
    };
    const read = memory.read.bind(memory);
    const write = memory.write.bind(memory);
    Object.assign(memory, {
      read: (address: bigint, into: Uint8Array) => {
        check(address, into.length);
        return read(address, into);
      },
      write: (address: bigint, from: Uint8Array) => {
        check(address, from.length);
        return write(address, from);
      },
    });
  }

  /** Deferred work is the devices' own: all memory that it touches is DMA. */
  #inDevice = false;

  #settle(): void {
    this.#inDevice = true;
    this.#kernel.settle();
    this.#inDevice = false;
  }

  #timed(name: string, call: () => number | bigint | undefined): void {
    const start = process.hrtime.bigint();
    const result = call();
    const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
    this.#calls++;
    this.#byCall.set(name, (this.#byCall.get(name) ?? 0) + 1);
    if (milliseconds > this.#slowest) [this.#slowest, this.#slowestCall] = [milliseconds, name];
    if (result === undefined || result >= 0) this.#succeeded++;
    if (typeof result === 'number' && (!Number.isInteger(result) || result < -4095))
      throw new Error(`${name} answered ${result}`);
  }

  #step(): void {
    const random = this.#random;
    const kind = random.below(100);
    if (kind < 4) this.#open();
    else if (kind < 6) this.#close();
    else if (kind < 46) this.#ioctl();
    else if (kind < 66) this.#config();
    else if (kind < 76) this.#barAccess();
    else if (kind < 80) this.#map();
    else if (kind < 90) this.#store();
    else if (kind < 96) this.#drive();
    else this.#dmaMap();
    if (random.chance(0.2)) this.#settle();
  }

  #open(): void {
    if (this.#fds.length > 60) {
      this.#close();
      return;
    }
    const path = this.#random.pick([
      ...this.#kernel.nodes,
      '/dev/vfio/99',
      '/dev/vfio/devices/vfio99',
      '/dev/null',
    ]);
    this.#timed('open', () => {
      const file = this.#kernel.open(this.#process, path);
      if (typeof file === 'number') return file;
      return this.#remember(this.#process.install(file));
    });
  }

  #remember(fd: number): number {
    if (fd >= 0 && !this.#fds.includes(fd)) this.#fds.push(fd);
    return fd;
  }

  #close(): void {
    const fd = this.#fds.splice(this.#random.below(Math.max(1, this.#fds.length)), 1)[0];
    if (fd !== undefined)
      this.#timed('close', () => {
        this.#process.close(fd);
        return 0;
      });
  }

  #file(): OpenFile | undefined {
    const fd = this.#fds[this.#random.below(Math.max(1, this.#fds.length))];
    const file = fd === undefined ? undefined : this.#process.file(fd);
    return file instanceof OpenFile ? file : undefined;
  }

  #number(): number {
    const random = this.#random;
    switch (random.below(6)) {
      case 0:
        return random.below(0x1_0000_0000);
      case 1:
        return random.pick(this.#eventfds);
      case 2:
        return random.pick(this.#fds.length > 0 ? this.#fds : [3]);
      case 3:
        return random.below(8);
      case 4:
        return random.below(64) * 4096;
      default:
        return random.pick(EDGES);
    }
  }

  #fillScratch(): void {
    const { bytes } = this.#scratch;
    const view = new DataView(bytes.buffer);
    bytes.fill(0, 0, 256);
    for (let at = 4; at < 64; at += 4) if (this.#random.chance(0.6)) view.setUint32(at, this.#number(), true);
    view.setUint32(
      0,
      this.#random.chance(0.8) ? this.#random.pick([16, 20, 24, 32, 40, 48, 64, 256]) : this.#number(),
      true,
    );
    // Addresses and IOVAs that lie where there is something.
    for (const at of [8, 16, 24, 32, 40])
      if (this.#random.chance(0.4)) view.setBigUint64(at, this.#address(), true);
    if (this.#random.chance(0.05))
      bytes.set(new TextEncoder().encode(`${this.#random.pick(this.#kernel.devices).name}\0`));
  }

  #address(): bigint {
    const random = this.#random;
    const page = BigInt(random.below(ARENA / 4096)) * 4096n;
    switch (random.below(6)) {
      case 0:
        return this.#arena.address + page;
      case 1:
        return page;
      case 2:
        return 0xfee0_0000n + page;
      case 3:
        return 2n ** 64n - 1n - page;
      case 4:
        return this.#scratch.address + BigInt(random.below(SCRATCH));
      default:
        return BigInt(random.below(0x1_0000_0000)) * BigInt(random.below(0x1_0000_0000));
    }
  }

  #ioctl(): void {
    const file = this.#file();
    if (file === undefined) {
      this.#open();
      return;
    }
    this.#fillScratch();
    const random = this.#random;
    const request = random.chance(0.97) ? random.pick(REQUESTS) : random.below(0x1_0000_0000);
    const argument = random.chance(0.9)
      ? this.#scratch.address
      : random.chance(0.5)
        ? BigInt(this.#number())
        : this.#address();
    const before = this.#process;
    this.#timed(`ioctl ${request.toString(16)}`, () => {
      const result = this.#kernel.ioctl(before, file, request, argument);
      // New descriptors are used from now on.
      if (result >= 3 && result < 1024 && this.#process.file(result) instanceof OpenFile)
        this.#remember(result);
      return result;
    });
  }

  #config(): void {
    const file = this.#file();
    if (file === undefined) {
      this.#open();
      return;
    }
    const random = this.#random;
    const offset = (7n << 40n) + BigInt(random.below(random.chance(0.7) ? 0x140 : 0x1100));
    const bytes = random.bytes(random.pick([1, 2, 4, 4, 8, 3, 64]));
    if (random.chance(0.5)) this.#timed('config read', () => this.#kernel.pread(file, bytes, offset));
    else this.#timed('config write', () => this.#kernel.pwrite(file, bytes, offset));
  }

  #barAccess(): void {
    const file = this.#file();
    if (file === undefined) {
      this.#open();
      return;
    }
    const random = this.#random;
    const index = BigInt(random.chance(0.95) ? random.below(7) : random.below(300));
    const offset = (index << 40n) + BigInt(random.below(random.chance(0.8) ? 0x4000 : 0x20_0000));
    const bytes = random.bytes(random.pick([1, 2, 4, 8, 16, 5, 256]));
    if (random.chance(0.5)) this.#timed('BAR read', () => this.#kernel.pread(file, bytes, offset));
    else this.#timed('BAR write', () => this.#kernel.pwrite(file, bytes, offset));
  }

  #map(): void {
    const file = this.#file();
    if (file === undefined) {
      this.#open();
      return;
    }
    const random = this.#random;
    if (this.#mappings.length > 8) {
      const mapping = this.#mappings.shift() as Mapping;
      this.#timed('munmap', () => {
        mapping.unmap();
        return 0;
      });
      return;
    }
    const offset = (BigInt(random.below(8)) << 40n) + BigInt(random.below(4) * 4096);
    const length = BigInt(random.pick([4096, 8192, 0x4000, 0x2_0000, 0x10_0000]));
    this.#timed('mmap', () => {
      const mapping = this.#kernel.mmap(file, { offset, length, shared: random.chance(0.95) });
      if (typeof mapping === 'number') return mapping;
      this.#mappings.push(mapping);
      return 0;
    });
  }

  /** Registers and doorbells through a mapping. */
  #store(): void {
    const random = this.#random;
    const mapping = this.#mappings[random.below(Math.max(1, this.#mappings.length))];
    if (mapping === undefined) {
      this.#map();
      return;
    }
    const width = random.pick([4, 4, 4, 8, 1, 2] as const);
    const near = random.pick([
      0, 0x14, 0x24, 0x28, 0x60, 0x80, 0x88, 0x90, 0x98, 0x1000, 0x1004, 0x1008, 0x100c, 0x2000,
    ]);
    const at = random.chance(0.7) ? near : random.below(Math.max(1, mapping.length - 8));
    if (at + width > mapping.length) return;
    if (random.chance(0.25)) {
      this.#timed('load', () => mapping.load(at, width));
      return;
    }
    const value = random.pick([
      BigInt(random.below(16)),
      0x46_0001n,
      0n,
      this.#address(),
      BigInt(this.#number()),
    ]);
    this.#timed('store', () => {
      mapping.store(at, width, BigInt.asUintN(8 * width, value));
      return 0;
    });
  }

  /** What an honest driver does to edu and NVMe, with addresses that may be good. */
  #drive(): void {
    const random = this.#random;
    const mapping = this.#mappings[random.below(Math.max(1, this.#mappings.length))];
    if (mapping === undefined || mapping.length < 0x2000) {
      this.#map();
      return;
    }
    const iova = random.chance(0.8) ? BigInt(random.below(64 * 1024)) & ~3n : this.#address();
    this.#timed('drive', () => {
      if (random.chance(0.5)) {
        const toMemory = random.chance(0.5);
        mapping.store(0x80, 8, toMemory ? 0x4_0000n : iova);
        mapping.store(0x88, 8, toMemory ? iova : 0x4_0000n);
        mapping.store(0x90, 8, BigInt(random.below(4097)));
        mapping.store(0x98, 8, (toMemory ? 3n : 1n) | BigInt(random.below(2) * 4));
        return 0;
      }
      const { bytes } = this.#arena;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const slot = random.below(32);
      const at = 0x1000 + 64 * slot;
      bytes.set(random.bytes(64), at);
      view.setUint8(at, random.pick([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, random.below(256)]));
      view.setUint8(at + 1, 0);
      view.setUint32(at + 4, random.below(3), true);
      view.setBigUint64(at + 24, iova, true);
      view.setBigUint64(at + 32, this.#address(), true);
      view.setUint32(at + 40, random.below(16) | (random.below(64) << 16), true);
      view.setUint32(at + 44, random.below(4) | (random.below(70) << 16), true);
      view.setUint32(at + 48, random.below(64), true);
      mapping.store(0x1000, 4, BigInt((slot + 1) % 32));
      mapping.store(0x1004, 4, BigInt(random.below(32)));
      mapping.store(0x1008, 4, BigInt(random.below(32)));
      return 0;
    });
  }

  /** A well-formed map or unmap, so that DMA finds something. */
  #dmaMap(): void {
    const file = this.#file();
    if (file === undefined) {
      this.#open();
      return;
    }
    const random = this.#random;
    const view = new DataView(this.#scratch.bytes.buffer);
    const page = () => BigInt(random.below(ARENA / 4096)) * 4096n;
    const map = random.chance(0.7);
    this.#scratch.bytes.fill(0, 0, 64);
    view.setUint32(0, map ? 32 : 24, true);
    view.setUint32(4, map ? 1 + random.below(3) : 0, true);
    const size = BigInt(1 + random.below(16)) * 4096n;
    view.setBigUint64(8, map ? this.#arena.address + page() : page(), true);
    view.setBigUint64(16, map ? page() : size, true);
    if (map) view.setBigUint64(24, size, true);
    const request = map ? 0x3b71 : 0x3b72;
    this.#timed(map ? 'map' : 'unmap', () =>
      this.#kernel.ioctl(this.#process, file, request, this.#scratch.address),
    );
  }

  /** Container, groups, devices, bus mastering, the NVMe controller enabled: where trouble is worth looking for. */
  #setUp(variant: KernelVariant): void {
    const open = (path: string) => {
      const file = this.#kernel.open(this.#process, path);
      return typeof file === 'number' ? file : this.#remember(this.#process.install(file));
    };
    const ioctl = (fd: number, request: number, argument: bigint) => {
      const file = this.#process.file(fd);
      return file instanceof OpenFile ? this.#kernel.ioctl(this.#process, file, request, argument) : -1;
    };
    const view = new DataView(this.#scratch.bytes.buffer);
    const container = open('/dev/vfio/vfio');
    let chosen = false;
    for (const device of this.#kernel.devices) {
      const group = open(`/dev/vfio/${variant.iommu === 'none' ? 'noiommu-' : ''}${device.groupId}`);
      if (group < 0) continue;
      view.setInt32(0, container, true);
      if (ioctl(group, 0x3b68, this.#scratch.address) < 0) continue;
      if (!chosen) ioctl(container, 0x3b66, BigInt(variant.iommu === 'none' ? 8 : this.#random.pick([1, 3])));
      chosen = true;
      this.#scratch.bytes.set(new TextEncoder().encode(`${device.name}\0`));
      const fd = ioctl(group, 0x3b6a, this.#scratch.address);
      if (fd < 0) continue;
      this.#remember(fd);
      const file = this.#process.file(fd) as OpenFile;
      this.#kernel.pwrite(file, Uint8Array.of(0x06, 0x01), (7n << 40n) + 4n);
      const mapping = this.#kernel.mmap(file, { offset: 0n, length: 0x4000n, shared: true });
      if (typeof mapping !== 'number') this.#mappings.push(mapping);
    }
    for (let i = 0; i < 16; i++) {
      view.setUint32(0, 32, true);
      view.setUint32(4, 3, true);
      view.setBigUint64(8, this.#arena.address + BigInt(i * 4096), true);
      view.setBigUint64(16, BigInt(i * 4096), true);
      view.setBigUint64(24, 4096n, true);
      ioctl(container, 0x3b71, this.#scratch.address);
    }
    const [nvme] = this.#mappings;
    nvme?.store(0x24, 4, 0x001f_001fn);
    nvme?.store(0x28, 8, 0x1000n);
    nvme?.store(0x30, 8, 0x2000n);
    nvme?.store(0x14, 4, 0x0046_0001n);
    // Queues full of random commands.
    this.#arena.bytes.set(this.#random.bytes(16 * 4096));
    for (let i = 0; i < 64; i++) this.#arena.bytes[4096 + 64 * i] = this.#random.below(16);
    this.#settle();
  }
}
