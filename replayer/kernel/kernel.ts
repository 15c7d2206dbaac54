// SPDX-License-Identifier: Apache-2.0
/**
 * A Linux kernel's VFIO in process: opens, ioctls, reads, writes and mappings of the VFIO interfaces, answered as the
 * real one answers them. Whoever calls it brings the processes (memory, descriptors, eventfds) and the devices.
 */
import type { DmaWindow } from '../devices/device.js';
import { PciFunction } from '../devices/pci/function.js';
import { Container } from './container/container.js';
import { Deferred } from './deferred.js';
import { EINVAL, ENODEV, ENOENT, ESPIPE } from './errno.js';
import type { BusWatch } from './iommu/bus-watch.js';
import { DmaPort } from './iommu/dma.js';
import { FaultLog, type IommuFault } from './iommu/faults.js';
import { IommuGroup } from './iommu/group.js';
import { IOMMU_HARDWARE } from './iommu/hardware.js';
import { InterruptRemapping } from './iommu/interrupts.js';
import { LockedMemory } from './iommu/locked-memory.js';
import { type AddressSpace, DMA_READ, DMA_WRITE } from './iommu/mappings.js';
import { iommufdIoctl } from './iommufd/commands.js';
import { Iommufd } from './iommufd/iommufd.js';
import { PciBus } from './pci/bus.js';
import { InterruptLine } from './pci/interrupt-line.js';
import { Messages } from './pci/messages.js';
import { PciDevice } from './pci/pci-device.js';
import type { Call, Mapping, Memory, MmapRequest, OpenFile, Process } from './process.js';
import { type DeviceSlot, parseBdf, placeDevices, ResourceAllocator } from './topology.js';
import { DEFAULT_VARIANT, type KernelVariant } from './variant.js';
import { DeviceFile } from './vfio/device-file.js';
import { GROUP_FILES, VfioGroup } from './vfio/group.js';
import { DeviceSet } from './vfio/hot-reset.js';
import { VfioDevice } from './vfio/vfio-device.js';
import { VfioPci } from './vfio/vfio-pci.js';

export interface KernelOptions {
  readonly variant?: KernelVariant;
  readonly devices: readonly DeviceSlot[];
  /** Called at each IOMMU fault. */
  readonly onFault?: (fault: IommuFault) => void;
  /** When devices do what they deferred; after the current event by default. */
  readonly schedule?: (run: () => void) => void;
}

const PAGE = 4096n;
const CDEV_PATH = /^\/dev\/vfio\/devices\/vfio(\d+)$/;
const GROUP_PATH = /^\/dev\/vfio\/(noiommu-)?(\d+)$/;

export class SimulatedKernel {
  readonly variant: KernelVariant;
  readonly faults: FaultLog;
  readonly devices: readonly VfioDevice[];
  readonly locked = new LockedMemory();
  /** Who sees what the devices do. */
  watch: BusWatch | undefined;
  readonly #groups = new Map<number, VfioGroup>();
  readonly #deferred: Deferred;
  readonly #processes = new Set<WeakRef<Process>>();
  readonly #seen = new WeakSet<Process>();

  constructor({ variant = DEFAULT_VARIANT, devices, onFault, schedule = setImmediate }: KernelOptions) {
    this.variant = variant;
    this.faults = new FaultLog(onFault);
    this.#deferred = new Deferred(schedule);
    this.devices = this.#build(devices);
  }

  /** Device nodes, as /dev has them. */
  get nodes(): readonly string[] {
    const groups = [...this.#groups.values()].map(
      ({ iommuGroup, isNoiommu }) => `/dev/vfio/${isNoiommu ? 'noiommu-' : ''}${iommuGroup.id}`,
    );
    const cdevs = this.#hasCdevs ? this.devices.map(({ index }) => `/dev/vfio/devices/vfio${index}`) : [];
    return ['/dev/vfio/vfio', ...(this.variant.version === '6.1' ? [] : ['/dev/iommu']), ...groups, ...cdevs];
  }

  /** open(2): the file, or a negative errno. */
  open(process: Process, path: string): OpenFile | number {
    this.#remember(process);
    if (path === '/dev/vfio/vfio') {
      return new Container(this.variant, this.locked, () => this.#physical());
    }
    if (path === '/dev/iommu' && this.variant.version !== '6.1')
      return new Iommufd(this.variant, this.locked, iommufdIoctl);
    const cdev = CDEV_PATH.exec(path);
    if (cdev !== null && this.#hasCdevs) return this.#openCdev(Number(cdev[1]));
    const group = GROUP_PATH.exec(path);
    const found = group === null ? undefined : this.#groups.get(Number(group[2]));
    if (found === undefined || found.isNoiommu !== (group?.[1] !== undefined)) return -ENOENT;
    return found.devices.length === 0 ? -ENODEV : found.open(process);
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

  /** The host wants a device back: its driver is told, if it asked to be. */
  requestDevice(bdf: string): boolean {
    return this.devices.find(({ name }) => name === bdf)?.core.interrupts.signalRequest() ?? false;
  }

  get #hasCdevs(): boolean {
    return this.variant.version !== '6.1' && this.variant.iommu !== 'none';
  }

  #openCdev(index: number): OpenFile | number {
    const device = this.devices.find((one) => one.index === index);
    const group = device === undefined ? undefined : this.#groups.get(device.groupId);
    if (device === undefined || group === undefined) return -ENOENT;
    return new DeviceFile(device, group, GROUP_FILES);
  }

  #build(slots: readonly DeviceSlot[]): readonly VfioDevice[] {
    const placed = placeDevices(slots);
    const hardware = IOMMU_HARDWARE[this.variant.iommu];
    const remapping = new InterruptRemapping();
    const allocator = new ResourceAllocator();
    const buses = new Map<number, PciBus>();
    const sets = new Map<PciBus, DeviceSet>();
    const devices: VfioDevice[] = [];
    placed.forEach(({ device, bdf, group: groupId, bound }, i) => {
      const address = parseBdf(bdf);
      const fn = new PciFunction(device, slots[i]?.vpd);
      const pci = new PciDevice(bdf, address, fn, allocator.place(fn.pci));
      const messages = new Messages(pci, remapping, hardware?.isolatedMsi ?? false);
      const line = new InterruptLine();
      const bus = getOrAdd(buses, address.bus, () => new PciBus(address.bus, address.bus === 0));
      bus.members.push({ pci, messages });
      const shared = placed.some((one) => one.group === groupId && !one.bound);
      const group = getOrAdd(
        this.#groups,
        groupId,
        () => new VfioGroup(new IommuGroup(groupId, hardware, shared), this.variant.version),
      );
      const port = new DmaPort(bdf, group.iommuGroup, this.faults, remapping, pci, () => this.watch);
      fn.upstream = {
        dmaRead: (iova, into) => port.read(iova, into),
        dmaWrite: (iova, from) => port.write(iova, from),
        get windows() {
          return windowsOf(group.iommuGroup.domain);
        },
        message: (kind, vector, to, data) => {
          this.watch?.interrupt(bdf, kind, vector, true);
          port.message(to, data);
        },
        intx: (asserted) => {
          this.watch?.interrupt(bdf, 'intx', 0, asserted);
          line.setLevel(asserted);
        },
        defer: (work) => this.#deferred.add(work),
      };
      if (!bound) return;
      const core = new VfioPci(pci, bus, messages, line, this.variant.version);
      const set = bus.isRoot || pci.isVirtual ? new DeviceSet() : getOrAdd(sets, bus, () => new DeviceSet());
      const vfio = new VfioDevice(core, group.iommuGroup, set, devices.length);
      group.devices.push(vfio);
      devices.push(vfio);
    });
    return devices;
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

function windowsOf(space: AddressSpace | undefined): readonly DmaWindow[] {
  return [...(space?.mappings ?? [])]
    .filter(({ device }) => !device)
    .sort((a, b) => a.sequence - b.sequence)
    .map(({ start, last }) => ({ iova: start, size: last - start + 1n }));
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
