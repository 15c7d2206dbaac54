// SPDX-License-Identifier: Apache-2.0
/** A function that belongs to the VFIO of 2010 (struct vfio_dev, vfio_main.c): what its descriptors share. */
import { LYON_FD } from '../../../abi/lyon2010/ioctls.js';
import type { Administrable } from '../administrable.js';
import { EBADF, EBUSY, EFAULT, EINVAL } from '../errno.js';
import type { HostFunction } from '../machine.js';
import { tryResetFunction } from '../pci/reset.js';
import type { Call } from '../process.js';
import { structIn } from '../user-memory.js';
import type { KernelVariant } from '../variant.js';
import { LyonConfig } from './config.js';
import { LyonInterrupts } from './interrupts.js';
import { LyonRegions } from './regions.js';
import { Uiommu } from './uiommu.js';

export class LyonDevice implements Administrable {
  readonly removalMessage = 'REMOVE';
  onOpened: (() => void) | undefined;
  onClosed: (() => void) | undefined;
  readonly regions: LyonRegions;
  readonly interrupts: LyonInterrupts;
  domain: Uiommu | undefined;
  /** Being removed: nobody opens it any more, and it is gone with its last descriptor. */
  removed = false;
  /** What /sys/class/vfio/vfioN/locked_pages shows. */
  lockedPages = 0n;
  #opens = 0;
  #mappings = 0;
  #config: LyonConfig | undefined;

  constructor(
    readonly host: HostFunction,
    readonly variant: KernelVariant,
    /** The N of /dev/vfioN. */
    readonly index: number,
    readonly remove: (device: LyonDevice) => number,
  ) {
    this.regions = new LyonRegions(host.pci);
    this.interrupts = new LyonInterrupts(host.pci, host.line, host.messages);
  }

  get name(): string {
    return this.host.pci.name;
  }
  get isOpen(): boolean {
    return this.#opens > 0;
  }

  /** As it was when the device was opened first. */
  get config(): LyonConfig {
    this.#config ??= this.#view();
    return this.#config;
  }

  #view(): LyonConfig {
    const { interrupts } = this;
    return new LyonConfig(this.host.pci, {
      intxDisabled: (disabled) => interrupts.commandWritten(disabled),
      get msiIsEnabled() {
        return interrupts.msiIsEnabled;
      },
      get msiQueueMax() {
        return interrupts.msiQueueMax;
      },
    });
  }

  /**
   * vfio_open(): the first one resets the function, "it'll now fail open if reset fails". (The versions that are known
   * went on without a word; the promise is kept here.) Bus mastering stays off until the driver wants it.
   */
  open(): number {
    if (this.#opens === 0) {
      const { pci, bus, messages } = this.host;
      pci.clearMaster();
      const result = tryResetFunction(pci, bus, messages);
      if (result !== 0) return result;
      if (pci.intxMaskable) pci.intx(true);
      pci.enable();
      this.#config = this.#view();
    }
    this.#opens++;
    if (this.#opens === 1) this.onOpened?.();
    return 0;
  }

  /** vfio_release(): no reset, which would want a lock that is held while a device is removed. */
  close(): void {
    this.#opens--;
    if (this.#opens > 0) return;
    this.interrupts.release();
    this.#config = undefined;
    // pci_disable_device()
    this.host.pci.clearMaster();
    this.unsetDomain();
    this.onClosed?.();
  }

  takeAway(): number {
    return this.remove(this);
  }

  count(pages: bigint, mappings: number): void {
    this.lockedPages += pages;
    this.#mappings += mappings;
  }

  /** vfio_domain_set(): only with interrupt remapping, or where the administrator does without. */
  setDomain(call: Call): number {
    const given = structIn(call, LYON_FD);
    if (given === undefined) return -EFAULT;
    if (this.domain !== undefined) return -EBUSY;
    const domain = given.fd < 0 ? undefined : call.process.file(given.fd);
    if (domain === undefined) return -EBADF;
    if (!(domain instanceof Uiommu)) return -EINVAL;
    const { group } = this.host;
    if (!(group.hardware?.isolatedMsi ?? false) && !this.variant.unsafeInterrupts) return -EINVAL;
    const result = domain.attach(group);
    if (result === 0) this.domain = domain;
    return result;
  }

  /** vfio_domain_unset() */
  unsetDomain(): number {
    if (this.domain === undefined) return 0;
    if (this.#mappings > 0) return -EBUSY;
    this.domain.detach(this.host.group);
    this.domain = undefined;
    return 0;
  }
}
