// SPDX-License-Identifier: Apache-2.0
/**
 * A Linux kernel's VFIO in process: opens, ioctls, reads, writes and mappings of the VFIO interfaces, answered as the
 * real one answers them. Whoever calls it brings the processes (memory, descriptors, eventfds) and the devices.
 */
import { Administration } from './administration.js';
import { Deferred } from './deferred.js';
import { EINVAL, ESPIPE } from './errno.js';
import type { BusWatch } from './iommu/bus-watch.js';
import { FaultLog, type IommuFault } from './iommu/faults.js';
import { LockedMemory } from './iommu/locked-memory.js';
import { type AddressSpace, DMA_READ, DMA_WRITE } from './iommu/mappings.js';
import { Lyon2010 } from './lyon2010/lyon2010.js';
import { buildMachine } from './machine.js';
import type { PciDevice } from './pci/pci-device.js';
import type { Call, KernelInterface, Mapping, Memory, MmapRequest, OpenFile, Process } from './process.js';
import type { DeviceSlot } from './topology.js';
import { DEFAULT_VARIANT, type KernelAbi, type KernelVariant } from './variant.js';
import { Vfio } from './vfio/vfio.js';
import type { VfioDevice } from './vfio/vfio-device.js';

export interface KernelOptions {
  readonly variant?: KernelVariant;
  /** Today's VFIO unless said otherwise. */
  readonly abi?: KernelAbi;
  readonly devices: readonly DeviceSlot[];
  /** Called at each IOMMU fault. */
  readonly onFault?: (fault: IommuFault) => void;
  /** When devices do what they deferred; after the current event by default. */
  readonly schedule?: (run: () => void) => void;
}

const PAGE = 4096n;

export class SimulatedKernel {
  readonly variant: KernelVariant;
  readonly faults: FaultLog;
  /** The functions that belong to VFIO, in the order of their addresses. */
  readonly functions: readonly PciDevice[];
  /** Today's VFIO's; none with the interface of 2010. */
  readonly devices: readonly VfioDevice[];
  readonly lyon: Lyon2010 | undefined;
  readonly locked = new LockedMemory();
  readonly administration: Administration;
  /** Who sees what the devices do. */
  watch: BusWatch | undefined;
  readonly #interface: KernelInterface;
  readonly #deferred: Deferred;
  readonly #processes = new Set<WeakRef<Process>>();
  readonly #seen = new WeakSet<Process>();

  constructor({
    variant = DEFAULT_VARIANT,
    abi = 'modern',
    devices,
    onFault,
    schedule = setImmediate,
  }: KernelOptions) {
    this.variant = variant;
    this.faults = new FaultLog(onFault);
    this.#deferred = new Deferred(schedule);
    const { faults } = this;
    const functions = buildMachine(devices, {
      variant,
      faults,
      deferred: this.#deferred,
      watch: () => this.watch,
      removed: (pci) => this.lyon?.remove(pci.name),
      administer: (pci, act) => {
        if (act === 'suspend') void this.administration.suspend();
        else this.administration.takeAway(pci.name);
      },
    });
    this.functions = functions.filter(({ bound }) => bound).map(({ pci }) => pci);
    if (abi === 'lyon2010') {
      this.lyon = new Lyon2010(functions, variant, this.locked);
      this.devices = [];
      this.#interface = this.lyon;
    } else {
      const vfio = new Vfio(functions, variant, this.locked, () => this.#physical());
      this.lyon = undefined;
      this.devices = vfio.devices;
      this.#interface = vfio;
    }
    this.administration = new Administration(this.lyon?.devices ?? this.devices, this.lyon);
    devices.forEach(({ plans }, i) => {
      const name = functions[i]?.pci.name;
      if (plans !== undefined && name !== undefined) this.administration.plan(name, plans);
    });
  }

  get abi(): KernelAbi {
    return this.lyon === undefined ? 'modern' : 'lyon2010';
  }

  /** Device nodes, as /dev has them. */
  get nodes(): readonly string[] {
    return this.#interface.nodes;
  }

  /** open(2): the file, or a negative errno. */
  open(process: Process, path: string): OpenFile | number {
    this.#remember(process);
    return this.#interface.open(process, path);
  }

  /** ioctl(2); `memory` may be the caller's with the argument already fetched. */
  ioctl(
    process: Process,
    file: OpenFile,
    request: number,
    argument: bigint,
    memory: Memory = process.memory,
  ): number {
    this.#remember(process);
    const call: Call = { process, memory, request: request >>> 0, argument: BigInt.asUintN(64, argument) };
    return file.ioctl(call);
  }

  pread(file: OpenFile, into: Uint8Array, offset: bigint): number {
    return file.pread(into, offset);
  }

  pwrite(file: OpenFile, from: Uint8Array, offset: bigint): number {
    return file.pwrite(from, offset);
  }

  read(file: OpenFile, into: Uint8Array): number {
    return file.read(into);
  }

  write(file: OpenFile, from: Uint8Array): number {
    return file.write(from);
  }

  lseek(_file: OpenFile): number {
    return -ESPIPE;
  }

  mmap(file: OpenFile, request: MmapRequest): Mapping | number {
    // mmap(2) itself, before any driver is asked.
    if (request.length <= 0n || request.offset % PAGE !== 0n) return -EINVAL;
    return file.mmap(request);
  }

  /** The last descriptor of an open file was closed; mappings and other files may still hold it. */
  close(file: OpenFile): void {
    file.drop();
  }

  /** Lets devices do what they deferred, now. */
  settle(): void {
    this.#deferred.settle();
  }

  get isIdle(): boolean {
    return this.#deferred.isIdle;
  }

  /** What a process had at [start, end) is there no more: it unmapped it, or put something else in its place. */
  memoryGone(process: Process, start: bigint, end: bigint): void {
    this.#interface.memoryGone?.(process, start, end);
  }

  /** A process has forked: its private memory is shared with a child until one of them writes to it. */
  forked(process: Process): void {
    this.#interface.forked?.(process);
  }

  #remember(process: Process): void {
    if (this.variant.iommu !== 'none' || this.#seen.has(process)) return;
    this.#seen.add(process);
    this.#processes.add(new WeakRef(process));
  }

  /** Without an IOMMU a device reaches any address: the processes are asked whose memory it is. */
  #physical(): AddressSpace {
    return {
      lookup: (iova) => {
        for (const reference of this.#processes) {
          const process = reference.deref();
          const found = process?.physical?.(iova);
          if (process === undefined || found === undefined) continue;
          const { address, length } = found;
          const protection = DMA_READ | DMA_WRITE;
          const last = iova + length - 1n;
          return { start: iova, last, process, address, protection, device: false, sequence: 0 };
        }
        return undefined;
      },
    };
  }
}
