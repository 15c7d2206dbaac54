// SPDX-License-Identifier: Apache-2.0
/**
 * Interrupts as eventfds, in the manner of 2010 (vfio_intrs.c): INTx is masked at each interrupt until the driver writes
 * Command, calls VFIO_IRQ_EOI or writes to its EOI eventfd; MSI and MSI-X are set up and taken down as a whole.
 */
import { LYON_FD } from '../../../abi/lyon2010/ioctls.js';
import { EBUSY, EFAULT, EINVAL, ENODEV } from '../errno.js';
import type { InterruptLine } from '../pci/interrupt-line.js';
import type { Messages } from '../pci/messages.js';
import type { PciDevice } from '../pci/pci-device.js';
import type { Call, Eventfd } from '../process.js';
import { bytesIn, eventfdOf, structIn } from '../user-memory.js';
import { Intx } from '../vfio/intx.js';
import { Virqfd } from '../vfio/virqfd.js';

const MSI_MOST = 32;

export class LyonInterrupts {
  readonly #intx: Intx;
  readonly #endOfInterrupt = new Virqfd();
  #hasEndOfInterrupt = false;
  #vectors: 'none' | 'msi' | 'msix' = 'none';
  /** Log2 of the MSI vectors in use, rounded up. */
  msiQueueMax = 0;

  constructor(
    readonly pci: PciDevice,
    line: InterruptLine,
    readonly messages: Messages,
  ) {
    this.#intx = new Intx(pci, line, pci.intxMaskable);
  }

  get msiIsEnabled(): boolean {
    return this.#vectors === 'msi';
  }

  /** VFIO_EVENTFD_IRQ */
  setLine(call: Call): number {
    const given = structIn(call, LYON_FD);
    if (given === undefined) return -EFAULT;
    if (this.pci.pin === 0) return -EINVAL;
    if (this.#intx.enabled) this.#intx.disable();
    // INTx and MSI both are pdev->irq.
    if (this.#vectors === 'msi') return -EINVAL;
    if (given.fd < 0) return 0;
    const eventfd = eventfdOf(call.process, given.fd);
    return typeof eventfd === 'number' ? eventfd : this.#intx.enable(eventfd);
  }

  /** VFIO_EVENTFDS_MSI, VFIO_EVENTFDS_MSIX: a count, then as many descriptors. */
  setVectors(call: Call, kind: 'msi' | 'msix'): number {
    const count = structIn(call, LYON_FD)?.fd;
    if (count === undefined) return -EFAULT;
    if (kind === 'msi' && this.#intx.enabled) return -EINVAL;
    if (count === 0 && this.#vectors === kind) {
      this.#dropVectors();
      return 0;
    }
    if (count <= 0 || this.#vectors === kind) return -EINVAL;
    const most = kind === 'msi' ? MSI_MOST : this.messages.tableSize;
    if (count > most) return -EINVAL;
    const eventfds = eventfdsIn(call, count);
    if (typeof eventfds === 'number') return eventfds;
    const got = this.messages.allocate(kind, count);
    if (got !== count) {
      if (got > 0) this.messages.freeAll();
      return got < 0 ? got : -EINVAL;
    }
    eventfds.forEach((eventfd, vector) => {
      this.messages.request(vector, () => eventfd.signal());
    });
    this.#vectors = kind;
    if (kind === 'msi') this.msiQueueMax = Math.ceil(Math.log2(count));
    return 0;
  }

  /** VFIO_IRQ_EOI */
  endOfInterrupt(): number {
    if (this.#intx.enabled) this.#intx.unmask();
    return 0;
  }

  /** VFIO_IRQ_EOI_EVENTFD */
  setEndOfInterrupt(call: Call): number {
    const given = structIn(call, LYON_FD);
    if (given === undefined) return -EFAULT;
    if (given.fd < 0) {
      if (!this.#hasEndOfInterrupt) return -ENODEV;
      this.#dropEndOfInterrupt();
      return 0;
    }
    if (this.#hasEndOfInterrupt) return -EBUSY;
    const result = this.#endOfInterrupt.enable(call.process, given.fd, () => this.endOfInterrupt());
    this.#hasEndOfInterrupt = result === 0;
    return result;
  }

  /** Command was written: without DisINTx an interrupt that waits may come, with it none comes. */
  commandWritten(disabled: boolean): void {
    this.#intx.disabledByConfig(disabled);
    if (!disabled) this.endOfInterrupt();
  }

  /** The device is closed for the last time. */
  release(): void {
    this.#dropVectors();
    if (this.#intx.enabled) this.#intx.disable();
    this.#intx.forgetConfig();
    this.#dropEndOfInterrupt();
    this.msiQueueMax = 0;
  }

  #dropVectors(): void {
    if (this.#vectors === 'none') return;
    this.messages.freeAll();
    this.#vectors = 'none';
  }

  #dropEndOfInterrupt(): void {
    this.#endOfInterrupt.disable();
    this.#hasEndOfInterrupt = false;
  }
}

function eventfdsIn(call: Call, count: number): readonly Eventfd[] | number {
  const bytes = bytesIn(call.memory, call.argument + BigInt(LYON_FD.size), 4 * count);
  if (bytes === undefined) return -EFAULT;
  const fds = new DataView(bytes.buffer, bytes.byteOffset);
  const eventfds: Eventfd[] = [];
  for (let i = 0; i < count; i++) {
    const eventfd = eventfdOf(call.process, fds.getInt32(4 * i, true));
    if (typeof eventfd === 'number') return eventfd;
    eventfds.push(eventfd);
  }
  return eventfds;
}
