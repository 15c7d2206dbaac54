// SPDX-License-Identifier: Apache-2.0
/** The simulated machine below any VFIO: functions on their buses, behind an IOMMU, with their ways to interrupt. */
import type { AdministratorAct, Device, DmaWindow } from '../devices/device.js';
import { PciFunction } from '../devices/pci/function.js';
import type { Deferred } from './deferred.js';
import type { BusWatch } from './iommu/bus-watch.js';
import { DmaPort } from './iommu/dma.js';
import type { FaultLog } from './iommu/faults.js';
import { IommuGroup } from './iommu/group.js';
import { IOMMU_HARDWARE } from './iommu/hardware.js';
import { InterruptRemapping } from './iommu/interrupts.js';
import {
  type AddressSpace,
  DMA_READ,
  DMA_WRITE,
  type DmaMapping,
  type MappingWatcher,
} from './iommu/mappings.js';
import { PciBus } from './pci/bus.js';
import { InterruptLine } from './pci/interrupt-line.js';
import { Messages } from './pci/messages.js';
import { PciDevice } from './pci/pci-device.js';
import { type DeviceSlot, parseBdf, placeDevices, ResourceAllocator } from './topology.js';
import type { KernelVariant } from './variant.js';

/** One function, as the host knows it. */
export interface HostFunction {
  readonly pci: PciDevice;
  readonly bus: PciBus;
  readonly messages: Messages;
  readonly line: InterruptLine;
  readonly group: IommuGroup;
  /** It belongs to VFIO, not to a driver of the host. */
  readonly bound: boolean;
}

export interface MachineParts {
  readonly variant: KernelVariant;
  readonly faults: FaultLog;
  readonly deferred: Deferred;
  /** Who sees what the devices do. */
  readonly watch: () => BusWatch | undefined;
  /** A function was pulled out. */
  readonly removed: (pci: PciDevice) => void;
  readonly administer: (pci: PciDevice, act: AdministratorAct) => void;
}

export function buildMachine(
  slots: readonly DeviceSlot[],
  { variant, faults, deferred, watch, removed, administer }: MachineParts,
): readonly HostFunction[] {
  const placed = placeDevices(slots);
  const hardware = IOMMU_HARDWARE[variant.iommu];
  const remapping = new InterruptRemapping();
  const allocator = new ResourceAllocator();
  const buses = new Map<number, PciBus>();
  const groups = new Map<number, IommuGroup>();
  return placed.map(({ device, bdf, group: groupId, bound }, i) => {
    const address = parseBdf(bdf);
    const fn = new PciFunction(device, slots[i]?.vpd);
    const pci = new PciDevice(bdf, address, fn, allocator.place(fn.pci));
    const messages = new Messages(pci, remapping, hardware?.isolatedMsi ?? false);
    const line = new InterruptLine();
    const bus = getOrAdd(buses, address.bus, () => new PciBus(address.bus, address.bus === 0));
    bus.members.push({ pci, messages });
    const group = getOrAdd(groups, groupId, () => {
      const shared = placed.some((one) => one.group === groupId && !one.bound);
      return new IommuGroup(groupId, hardware, shared);
    });
    const windows = new Windows(group);
    if (device.memoryChanged !== undefined) group.watch(memoryWatcher(device));
    const port = new DmaPort(bdf, group, faults, remapping, pci, watch);
    fn.upstream = {
      dmaRead: (iova, into) => port.read(iova, into),
      dmaWrite: (iova, from) => port.write(iova, from),
      get windows() {
        return windows.all;
      },
      message: (kind, vector, to, data) => {
        watch()?.interrupt(bdf, kind, vector, true);
        port.message(to, data);
      },
      intx: (asserted) => {
        watch()?.interrupt(bdf, 'intx', 0, asserted);
        line.setLevel(asserted);
      },
      defer: (work) => deferred.add(work),
      removed: () => removed(pci),
      administer: (act) => administer(pci, act),
    };
    return { pci, bus, messages, line, group, bound };
  });
}

/** What is mapped for a group, in the order of mapping. */
class Windows {
  readonly #group: IommuGroup;
  #space: AddressSpace | undefined;
  #all: readonly DmaWindow[] | undefined;

  constructor(group: IommuGroup) {
    this.#group = group;
    const changed = (): void => {
      this.#all = undefined;
    };
    group.watch({ mapped: changed, unmapped: changed });
  }

  /** The same array until something changes. */
  get all(): readonly DmaWindow[] {
    const { domain } = this.#group;
    if (domain !== this.#space || domain?.watch === undefined) this.#all = undefined;
    this.#space = domain;
    this.#all ??= windowsOf(domain);
    return this.#all;
  }
}

function windowsOf(space: AddressSpace | undefined): readonly DmaWindow[] {
  return [...(space?.mappings ?? [])]
    .filter(({ device }) => !device)
    .sort((a, b) => a.sequence - b.sequence)
    .map(({ start, last }) => ({ iova: start, size: last - start + 1n }));
}

/** A device hears of addresses alone: whose memory it is, is the IOMMU's secret. */
function memoryWatcher(device: Device): MappingWatcher {
  const tell = ({ start, last, protection }: DmaMapping, mapped: boolean): void =>
    device.memoryChanged?.({
      start,
      last,
      readable: (protection & DMA_READ) !== 0,
      writable: (protection & DMA_WRITE) !== 0,
      mapped,
    });
  return { mapped: (mapping) => tell(mapping, true), unmapped: (mapping) => tell(mapping, false) };
}

export function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
