// SPDX-License-Identifier: Apache-2.0
/** An eventfd of the driver that the kernel acts on (drivers/vfio/virqfd.c). */
import { EBUSY } from '../errno.js';
import type { Process } from '../process.js';
import { eventfdOf } from '../user-memory.js';

export class Virqfd {
  #stop: (() => void) | undefined;

  /** vfio_virqfd_enable() */
  enable(process: Process, fd: number, handler: () => void): number {
    const eventfd = eventfdOf(process, fd);
    if (typeof eventfd === 'number') return eventfd;
    if (this.#stop !== undefined) return -EBUSY;
    this.#stop = eventfd.watch(handler);
    return 0;
  }

  disable(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
