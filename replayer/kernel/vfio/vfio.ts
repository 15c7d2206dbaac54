// SPDX-License-Identifier: Apache-2.0
/** Today's VFIO: containers, groups, character devices and iommufd, and the nodes that lead to them. */
import { Container } from '../container/container.js';
import { ENODEV, ENOENT } from '../errno.js';
import type { LockedMemory } from '../iommu/locked-memory.js';
import type { AddressSpace } from '../iommu/mappings.js';
import { iommufdIoctl } from '../iommufd/commands.js';
import { Iommufd } from '../iommufd/iommufd.js';
import { getOrAdd, type HostFunction } from '../machine.js';
import type { PciBus } from '../pci/bus.js';
import type { KernelInterface, OpenFile, Process } from '../process.js';
import type { KernelVariant } from '../variant.js';
import { DeviceFile } from './device-file.js';
import { GROUP_FILES, VfioGroup } from './group.js';
import { DeviceSet } from './hot-reset.js';
import { VfioDevice } from './vfio-device.js';
import { VfioPci } from './vfio-pci.js';

const CDEV_PATH = /^\/dev\/vfio\/devices\/vfio(\d+)$/;
const GROUP_PATH = /^\/dev\/vfio\/(noiommu-)?(\d+)$/;

export class Vfio implements KernelInterface {
  readonly devices: readonly VfioDevice[];
  readonly #groups = new Map<number, VfioGroup>();

  constructor(
    functions: readonly HostFunction[],
    readonly variant: KernelVariant,
    readonly locked: LockedMemory,
    /** Where DMA goes without an IOMMU. */
    readonly physical: () => AddressSpace,
  ) {
    const sets = new Map<PciBus, DeviceSet>();
    const devices: VfioDevice[] = [];
    for (const { pci, bus, messages, line, group: iommuGroup, bound } of functions) {
      const { version } = variant;
      const group = getOrAdd(this.#groups, iommuGroup.id, () => new VfioGroup(iommuGroup, version));
      if (!bound) continue;
      const core = new VfioPci(pci, bus, messages, line, version);
      const set = bus.isRoot || pci.isVirtual ? new DeviceSet() : getOrAdd(sets, bus, () => new DeviceSet());
      const device = new VfioDevice(core, iommuGroup, set, devices.length);
      group.add(device);
      devices.push(device);
    }
    this.devices = devices;
  }

  get nodes(): readonly string[] {
    const groups = [...this.#groups.values()]
      .filter(({ isGone }) => !isGone)
      .map(({ iommuGroup, isNoiommu }) => `/dev/vfio/${isNoiommu ? 'noiommu-' : ''}${iommuGroup.id}`);
    const there = this.#hasCdevs ? this.devices.filter(({ removed }) => !removed) : [];
    const cdevs = there.map(({ index }) => `/dev/vfio/devices/vfio${index}`);
    return ['/dev/vfio/vfio', ...(this.variant.version === '6.1' ? [] : ['/dev/iommu']), ...groups, ...cdevs];
  }

  open(process: Process, path: string): OpenFile | number {
    if (path === '/dev/vfio/vfio') return new Container(this.variant, this.locked, this.physical);
    if (path === '/dev/iommu' && this.variant.version !== '6.1')
      return new Iommufd(this.variant, this.locked, iommufdIoctl);
    const cdev = CDEV_PATH.exec(path);
    if (cdev !== null && this.#hasCdevs) return this.#openCdev(Number(cdev[1]));
    const group = GROUP_PATH.exec(path);
    const found = group === null ? undefined : this.#groups.get(Number(group[2]));
    if (found === undefined || found.isGone || found.isNoiommu !== (group?.[1] !== undefined)) return -ENOENT;
    return found.devices.length === 0 ? -ENODEV : found.open(process);
  }

  get #hasCdevs(): boolean {
    return this.variant.version !== '6.1' && this.variant.iommu !== 'none';
  }

  #openCdev(index: number): OpenFile | number {
    const device = this.devices.find((one) => one.index === index);
    const group = device === undefined ? undefined : this.#groups.get(device.groupId);
    if (device === undefined || group === undefined || device.removed) return -ENOENT;
    return new DeviceFile(device, group, GROUP_FILES);
  }
}
