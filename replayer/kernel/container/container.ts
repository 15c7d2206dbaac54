// SPDX-License-Identifier: Apache-2.0
/** A container: /dev/vfio/vfio, groups that share one IOMMU context (drivers/vfio/container.c). */
import { CONTAINER } from '../../../abi/object-kinds.js';
import { CONTAINER_IOCTLS, EXTENSIONS } from '../../../abi/vfio/container.js';
import { EINVAL, ENODEV, ENOTTY, EPERM } from '../errno.js';
import type { IommuGroup } from '../iommu/group.js';
import type { LockedMemory } from '../iommu/locked-memory.js';
import type { AddressSpace } from '../iommu/mappings.js';
import { type Call, OpenFile, type Process } from '../process.js';
import { handlers } from '../requests.js';
import { numberArgument } from '../user-memory.js';
import type { KernelVariant } from '../variant.js';
import { Type1 } from './type1.js';

const {
  TYPE1_IOMMU,
  TYPE1v2_IOMMU,
  TYPE1_NESTING_IOMMU,
  NOIOMMU_IOMMU,
  UNMAP_ALL,
  UPDATE_VADDR,
  DMA_CC_IOMMU,
} = EXTENSIONS.values;

/** The driver of a container's IOMMU: type 1, or none at all. */
type Driver = { readonly kind: 'type1'; readonly type1: Type1 } | { readonly kind: 'noiommu' };

export class Container extends OpenFile {
  readonly kind = CONTAINER;
  readonly #groups: IommuGroup[] = [];
  #driver: Driver | undefined;
  #noiommu = false;

  constructor(
    readonly variant: KernelVariant,
    readonly locked: LockedMemory,
    /** Where DMA goes without an IOMMU: straight to the addresses that the driver found out. */
    readonly physical: (container: Container) => AddressSpace,
  ) {
    super();
  }

  /** A driver has been chosen, so devices can be opened. */
  get hasIommu(): boolean {
    return this.#driver !== undefined;
  }

  override ioctl(call: Call): number {
    const handler = IOCTLS.get(call.request);
    if (handler !== undefined) return handler(this, call);
    switch (this.#driver?.kind) {
      case undefined:
        return -EINVAL;
      case 'type1':
        return this.#driver.type1.ioctl(call);
      case 'noiommu':
        return -ENOTTY;
    }
  }

  /** vfio_container_ioctl_check_extension(): before a driver is chosen, of all that could be. */
  checkExtension(extension: number): number {
    if (this.#driver?.kind === 'type1') return this.#type1Extension(extension, this.#driver.type1);
    const noiommu = this.variant.noiommu && extension === NOIOMMU_IOMMU ? 1 : 0;
    if (this.#driver?.kind === 'noiommu') return noiommu;
    const open = this.#groups.length === 0;
    const type1 = open || !this.#noiommu ? this.#type1Extension(extension, undefined) : 0;
    return type1 > 0 ? type1 : open || this.#noiommu ? noiommu : 0;
  }

  #type1Extension(extension: number, type1: Type1 | undefined): number {
    switch (extension) {
      case TYPE1_IOMMU:
      case TYPE1v2_IOMMU:
      case TYPE1_NESTING_IOMMU:
      case UNMAP_ALL:
        return 1;
      case UPDATE_VADDR:
        return type1 === undefined ? 0 : 1;
      case DMA_CC_IOMMU:
        return type1?.isCoherent === true ? 1 : 0;
      default:
        return 0;
    }
  }

  /** vfio_ioctl_set_iommu() */
  setIommu(type: number, process: Process): number {
    if (this.#groups.length === 0 || this.#driver !== undefined) return -EINVAL;
    if (this.#noiommu) {
      if (type !== NOIOMMU_IOMMU) return -ENODEV;
      if (!process.capable('SYS_RAWIO')) return -EPERM;
      this.#driver = { kind: 'noiommu' };
      const physical = this.physical(this);
      for (const group of this.#groups) group.domain = physical;
      return 0;
    }
    if (this.#type1Extension(type, undefined) === 0) return -ENODEV;
    // An extension that is no type of IOMMU: the driver is asked, and refuses.
    if (type !== TYPE1_IOMMU && type !== TYPE1v2_IOMMU && type !== TYPE1_NESTING_IOMMU) return -EINVAL;
    // Nesting could be asked for but no IOMMU of x86 has it (iommu_enable_nesting).
    if (type === TYPE1_NESTING_IOMMU) return -EINVAL;
    const type1 = new Type1(type !== TYPE1_IOMMU, this.locked, this.variant);
    for (const group of this.#groups) {
      const result = type1.attach(group);
      if (result === 0) continue;
      type1.release();
      return result;
    }
    this.#driver = { kind: 'type1', type1 };
    return 0;
  }

  /** vfio_container_attach_group() */
  attachGroup(group: IommuGroup, process: Process): number {
    const noiommu = group.hardware === undefined;
    if (noiommu && !process.capable('SYS_RAWIO')) return -EPERM;
    if (this.#groups.length > 0 && this.#noiommu !== noiommu) return -EPERM;
    if (!noiommu) {
      const claimed = group.claim(this);
      if (claimed !== 0) return claimed;
    }
    const driver = this.#driver;
    if (driver?.kind === 'type1') {
      const result = driver.type1.attach(group);
      if (result !== 0) {
        group.release();
        return result;
      }
    } else if (driver?.kind === 'noiommu') group.domain = this.physical(this);
    this.#noiommu = noiommu;
    this.#groups.push(group);
    this.hold();
    return 0;
  }

  /** vfio_group_detach_container(): without groups a container is as new. */
  detachGroup(group: IommuGroup): void {
    const at = this.#groups.indexOf(group);
    if (at < 0) return;
    if (this.#driver?.kind === 'type1') this.#driver.type1.detach(group);
    this.#groups.splice(at, 1);
    group.domain = undefined;
    if (!this.#noiommu) group.release();
    if (this.#groups.length === 0) {
      if (this.#driver?.kind === 'type1') this.#driver.type1.release();
      this.#driver = undefined;
    }
    this.drop();
  }
}

const API_VERSION = 0;

const IOCTLS = handlers<[Container, Call]>(CONTAINER_IOCTLS, {
  VFIO_GET_API_VERSION: () => API_VERSION,
  VFIO_CHECK_EXTENSION: (container, call) => container.checkExtension(numberArgument(call)),
  VFIO_SET_IOMMU: (container, call) => container.setIommu(numberArgument(call), call.process),
});
