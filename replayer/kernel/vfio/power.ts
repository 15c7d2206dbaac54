// SPDX-License-Identifier: Apache-2.0
/** Power states that the driver asks for, and the low power mode of VFIO_DEVICE_FEATURE (vfio_pci_core.c). */
import { EINVAL } from '../errno.js';
import type { Messages } from '../pci/messages.js';
import { D0, D3HOT, type PciDevice } from '../pci/pci-device.js';
import { restoreState, type SavedState, saveState } from '../pci/saved-state.js';
import type { Eventfd } from '../process.js';

/** INTx is masked while the device sleeps. */
export interface SleepingInterrupts {
  /** True when it was not masked before. */
  maskIntx(): boolean;
  unmaskIntx(): void;
}

const NO_SOFT_RESET = 8;

export class Power {
  #saved: SavedState | undefined;
  #wakeup: Eventfd | undefined;
  #intxMasked = false;
  #asleep = false;
  /** vfio_pci_core_device.pm_runtime_engaged: loads and stores are SIGBUS until the driver leaves low power. */
  engaged = false;

  constructor(
    readonly pci: PciDevice,
    readonly messages: Messages,
  ) {}

  /** vfio_pci_set_power_state(): what leaving D3hot resets is kept aside. */
  setState(state: number): number {
    const { pci } = this;
    const before = pci.currentState;
    const saved = before < D3HOT && state >= D3HOT && this.#forgets ? saveState(pci) : undefined;
    const result = pci.setPowerState(state);
    if (result !== 0) return result;
    if (saved !== undefined && pci.currentState >= D3HOT) this.#saved = saved;
    else if (before >= D3HOT && state === D0 && this.#saved !== undefined) {
      restoreState(pci, this.#saved, () => this.messages.restore());
      this.#saved = undefined;
    }
    return 0;
  }

  get #forgets(): boolean {
    const pm = this.pci.pmCap;
    return pm !== undefined && (this.pci.read(pm + 4, 2) & NO_SOFT_RESET) === 0;
  }

  /** vfio_pci_runtime_pm_entry() */
  enter(wakeup: Eventfd | undefined): number {
    if (this.engaged) return -EINVAL;
    this.engaged = true;
    this.#wakeup = wakeup;
    return 0;
  }

  /** vfio_pci_runtime_pm_exit() */
  exit(): void {
    this.engaged = false;
    this.#wakeup = undefined;
  }

  /** The call is over and nobody uses the device: it goes to sleep (vfio_pci_core_runtime_suspend). */
  idle(interrupts: SleepingInterrupts): void {
    if (!this.engaged || this.#asleep) return;
    this.#asleep = true;
    this.setState(D0);
    this.#intxMasked = interrupts.maskIntx();
  }

  /** Any ioctl, read or write wakes it first (vfio_pci_core_runtime_resume). */
  wake(interrupts: SleepingInterrupts): void {
    if (!this.#asleep) return;
    this.#asleep = false;
    if (this.#wakeup !== undefined) {
      this.#wakeup.signal();
      this.exit();
    }
    if (this.#intxMasked) interrupts.unmaskIntx();
    this.#intxMasked = false;
  }
}
