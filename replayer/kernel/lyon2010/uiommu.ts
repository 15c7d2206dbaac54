// SPDX-License-Identifier: Apache-2.0
/** /dev/uiommu: each open is an IOMMU domain, which devices are attached to by VFIO_DOMAIN_SET (uiommu.c). */
import { UIOMMU } from '../../../abi/object-kinds.js';
import { EBUSY, EFAULT, EINVAL } from '../errno.js';
import type { IommuGroup } from '../iommu/group.js';
import { type AddressSpace, type DmaMapping, MappingList, type MappingWatcher } from '../iommu/mappings.js';
import { OpenFile } from '../process.js';

export class Uiommu extends OpenFile implements AddressSpace {
  readonly kind = UIOMMU;
  readonly #mappings = new MappingList<DmaMapping>();
  readonly #groups: IommuGroup[] = [];

  get mappings(): readonly DmaMapping[] {
    return this.#mappings.all;
  }

  lookup(iova: bigint): DmaMapping | undefined {
    return this.#mappings.at(iova);
  }

  watch(watcher: MappingWatcher): () => void {
    return this.#mappings.watch(watcher);
  }

  /** uiommu_attach_device(); the device holds the domain until it is detached. */
  attach(group: IommuGroup): number {
    if (group.hardware === undefined) return -EINVAL;
    if (group.domain !== undefined && group.domain !== this) return -EBUSY;
    this.#groups.push(group);
    group.domain = this;
    this.hold();
    return 0;
  }

  detach(group: IommuGroup): void {
    const at = this.#groups.indexOf(group);
    if (at < 0) return;
    this.#groups.splice(at, 1);
    if (!this.#groups.includes(group)) group.domain = undefined;
    this.drop();
  }

  /** uiommu_map() of every page: EBUSY where one is mapped already, EFAULT beyond what the IOMMU can translate. */
  map(mapping: DmaMapping): number {
    if (this.#mappings.first(mapping.start, mapping.last) !== undefined) return -EBUSY;
    for (const { hardware } of this.#groups)
      if (hardware !== undefined && mapping.last > hardware.lastIova) return -EFAULT;
    this.#mappings.insert(mapping);
    return 0;
  }

  unmap(mapping: DmaMapping): void {
    this.#mappings.remove(mapping);
  }
}
