// SPDX-License-Identifier: Apache-2.0
/** A device that VFIO has: opened by its group, several times, or by its character device, once (vfio_main.c). */

import type { Administrable } from '../administrable.js';
import { EINVAL } from '../errno.js';
import type { IommuGroup } from '../iommu/group.js';
import type { BoundDevice, Iommufd } from '../iommufd/iommufd.js';
import type { KernelVersion } from '../variant.js';
import type { DeviceSet, SetMember } from './hot-reset.js';
import type { VfioPci } from './vfio-pci.js';

/** What the first opener holds for the device: a group's container, or an iommufd. */
export type User =
  | { readonly kind: 'container'; use(): number; unuse(): void }
  | { readonly kind: 'iommufd'; readonly iommufd: Iommufd };

export class VfioDevice implements SetMember, Administrable {
  readonly removalMessage = 'the request interrupt';
  onOpened: (() => void) | undefined;
  onClosed: (() => void) | undefined;
  /** Being taken away: nobody opens it any more (vfio_unregister_group_dev). */
  removed = false;
  /** Its group's: called when it has been taken away, and is closed. */
  onGone: (() => void) | undefined;
  #opens = 0;
  #user: User | undefined;
  bound: BoundDevice | undefined;
  openedAsCdev = false;

  constructor(
    readonly core: VfioPci,
    readonly group: IommuGroup,
    readonly set: DeviceSet,
    /** The N of /dev/vfio/devices/vfioN. */
    readonly index: number,
  ) {
    set.members.push(this);
  }

  get name(): string {
    return this.core.pci.name;
  }
  get groupId(): number {
    return this.group.id;
  }
  get isOpen(): boolean {
    return this.#opens > 0;
  }
  get iommufd(): Iommufd | undefined {
    return this.#user?.kind === 'iommufd' ? this.#user.iommufd : undefined;
  }

  /** vfio_iommufd_get_dev_id() */
  deviceIdIn(iommufd: object | undefined): number | undefined {
    if (iommufd === undefined) return undefined;
    if (this.iommufd === iommufd && this.bound !== undefined) return this.bound.id;
    return this.group.isOwnedBy(iommufd) ? 0 : undefined;
  }

  /** vfio_df_open(): only a group may open a device again. */
  open(user: User, byGroup: boolean): number {
    if (this.#opens > 0 && !byGroup) return -EINVAL;
    if (this.#opens > 0) {
      this.#opens++;
      return 0;
    }
    const taken = this.#takeUser(user);
    if (taken !== 0) return taken;
    const result = this.core.enable();
    if (result !== 0) {
      this.#dropUser();
      return result;
    }
    this.#opens = 1;
    this.onOpened?.();
    return 0;
  }

  /** vfio_df_close() */
  close(): void {
    this.#opens--;
    if (this.#opens > 0) return;
    this.core.disable();
    this.#dropUser();
    this.openedAsCdev = false;
    this.set.tryReset();
    if (this.removed) this.onGone?.();
    this.onClosed?.();
  }

  /** It was taken away, and nobody has it any more. */
  get isGone(): boolean {
    return this.removed && !this.isOpen;
  }

  /**
   * Whether a group finds it no more. Linux 6.1 takes it off the group's list when its last descriptor is closed, and opens it again as
   * long as there is one.
   */
  isHidden(version: KernelVersion): boolean {
    return this.removed && (version !== '6.1' || !this.isOpen);
  }

  /** vfio_unregister_group_dev(), vfio_pci_core_request() */
  takeAway(): number {
    this.removed = true;
    if (!this.isOpen) this.onGone?.();
    return this.core.interrupts.signalRequest() ? 1 : 0;
  }

  #takeUser(user: User): number {
    if (user.kind === 'container') {
      const result = user.use();
      if (result === 0) this.#user = user;
      return result;
    }
    // Without an IOMMU there is nothing to bind to (vfio_df_iommufd_bind).
    if (this.group.hardware !== undefined) {
      const bound = user.iommufd.bind(this.group);
      if (typeof bound === 'number') return bound;
      this.bound = bound;
    }
    this.#user = user;
    return 0;
  }

  #dropUser(): void {
    const user = this.#user;
    this.#user = undefined;
    if (user?.kind === 'container') user.unuse();
    else if (user !== undefined && this.bound !== undefined) user.iommufd.unbind(this.bound);
    this.bound = undefined;
  }
}
