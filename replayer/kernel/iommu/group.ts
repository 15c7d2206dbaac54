// SPDX-License-Identifier: Apache-2.0
/** An IOMMU group: the devices that can't be told apart, which one user owns together (drivers/iommu/iommu.c). */
import { EPERM } from '../errno.js';
import type { IommuHardware } from './hardware.js';
import type { AddressSpace, MappingWatcher } from './mappings.js';

export class IommuGroup {
  readonly #watchers: MappingWatcher[] = [];
  #stopWatching: (() => void)[] = [];
  #domain: AddressSpace | undefined;
  #owner: object | undefined;
  #claims = 0;

  constructor(
    readonly id: number,
    /** undefined in no-IOMMU mode. */
    readonly hardware: IommuHardware | undefined,
    /** A device of the group belongs to a driver of the host. */
    readonly hostOwned: boolean,
  ) {}

  /** Where the group's DMA goes; undefined blocks it (the group's blocking domain). */
  get domain(): AddressSpace | undefined {
    return this.#domain;
  }

  set domain(domain: AddressSpace | undefined) {
    if (domain === this.#domain) return;
    for (const stop of this.#stopWatching) stop();
    this.#domain = domain;
    this.#stopWatching = this.#watchers.flatMap((watcher) => domain?.watch?.(watcher) ?? []);
  }

  /** For devices that must know their memory beforehand. */
  watch(watcher: MappingWatcher): void {
    this.#watchers.push(watcher);
  }

  get isClaimed(): boolean {
    return this.#claims > 0 || this.hostOwned;
  }

  /** iommu_group_claim_dma_owner(): VFIO's group interface takes the whole group, once. */
  claim(owner: object): number {
    if (this.isClaimed) return -EPERM;
    this.#owner = owner;
    this.#claims = 1;
    return 0;
  }

  /** iommu_device_claim_dma_owner(): an iommufd takes the group once for each device. */
  claimForDevice(owner: object): number {
    if (this.hostOwned || (this.#claims > 0 && this.#owner !== owner)) return -EPERM;
    this.#owner = owner;
    this.#claims++;
    return 0;
  }

  isOwnedBy(owner: object): boolean {
    return this.#claims > 0 && this.#owner === owner;
  }

  release(): void {
    this.#claims = Math.max(0, this.#claims - 1);
    if (this.#claims > 0) return;
    this.#owner = undefined;
    this.domain = undefined;
  }
}
