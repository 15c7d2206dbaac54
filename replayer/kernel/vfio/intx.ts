// SPDX-License-Identifier: Apache-2.0
/** INTx: masked at each interrupt until the driver unmasks it (vfio_pci_intrs.c). */
import { EINVAL, ENODEV } from '../errno.js';
import type { InterruptLine } from '../pci/interrupt-line.js';
import type { PciDevice } from '../pci/pci-device.js';
import type { Eventfd, Process } from '../process.js';
import { Virqfd } from './virqfd.js';

export class Intx {
  #enabled = false;
  #masked = false;
  #trigger: Eventfd | undefined;
  /** DisINTx as the driver set it in its view of config space (virq_disabled). */
  #disabledByConfig = false;
  readonly #unmaskFd = new Virqfd();

  constructor(
    readonly pci: PciDevice,
    readonly line: InterruptLine,
    /** vdev->pci_2_3: DisINTx and the interrupt status work, so that the line can be shared. */
    readonly maskable: boolean,
  ) {}

  get enabled(): boolean {
    return this.#enabled;
  }

  /** vfio_intx_enable() */
  enable(trigger: Eventfd | undefined): number {
    if (this.pci.pin === 0) return -ENODEV;
    this.#trigger = trigger;
    this.#masked = this.#disabledByConfig;
    if (this.maskable) this.pci.intx(!this.#masked);
    this.#enabled = true;
    this.line.request(() => this.#interrupt(), this.maskable || !this.#masked);
    return 0;
  }

  setTrigger(trigger: Eventfd | undefined): void {
    this.#trigger = trigger;
  }

  /** vfio_intx_disable() */
  disable(): void {
    this.#unmaskFd.disable();
    this.line.free();
    this.#trigger = undefined;
    this.#enabled = false;
    this.#masked = false;
  }

  /** A loopback test, or a real one (vfio_send_intx_eventfd). */
  signal(): void {
    if (this.#enabled && !this.#disabledByConfig) this.#trigger?.signal();
  }

  /** __vfio_pci_intx_mask(): true when it was not masked. */
  mask(): boolean {
    if (!this.#enabled) {
      if (this.maskable) this.pci.intx(false);
      return false;
    }
    if (this.#masked) return false;
    if (this.maskable) this.pci.intx(false);
    else this.line.disable();
    this.#masked = true;
    return true;
  }

  /** __vfio_pci_intx_unmask(): an interrupt that is still pending is sent again instead. */
  unmask(): void {
    if (!this.#enabled) {
      if (this.maskable) this.pci.intx(true);
      return;
    }
    if (!this.#masked || this.#disabledByConfig) return;
    if (this.maskable) {
      const pending = !this.pci.checkAndUnmaskIntx();
      this.#masked = pending;
      if (pending) this.signal();
    } else {
      this.#masked = false;
      this.line.enable();
    }
  }

  /** SET_IRQS UNMASK with an eventfd: written to, it unmasks. */
  setUnmaskFd(process: Process, fd: number): number {
    if (fd >= 0) return this.#unmaskFd.enable(process, fd, () => this.unmask());
    this.#unmaskFd.disable();
    return 0;
  }

  /** A write of DisINTx to config space (vfio_basic_config_write). */
  disabledByConfig(disabled: boolean): void {
    if (disabled === this.#disabledByConfig) return;
    this.#disabledByConfig = disabled;
    if (disabled) this.mask();
    else this.unmask();
  }

  /** The device is closed: DisINTx starts anew with the next one. */
  forgetConfig(): void {
    this.#disabledByConfig = false;
  }

  /** vfio_intx_handler() */
  #interrupt(): void {
    if (!this.maskable) {
      this.line.disable();
      this.#masked = true;
    } else if (this.#masked || !this.pci.checkAndMaskIntx()) return;
    else this.#masked = true;
    this.signal();
  }
}

/** SET_IRQS for INTx takes one interrupt, at 0. */
export function isOneIntx(start: number, count: number): number {
  return start === 0 && count === 1 ? 0 : -EINVAL;
}
