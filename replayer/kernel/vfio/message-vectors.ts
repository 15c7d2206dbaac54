// SPDX-License-Identifier: Apache-2.0
/** MSI and MSI-X vectors and their eventfds (vfio_pci_intrs.c). */
import { EINVAL, ERANGE } from '../errno.js';
import type { Messages } from '../pci/messages.js';
import type { Eventfd, Process } from '../process.js';
import { eventfdOf } from '../user-memory.js';

export class MessageVectors {
  readonly #triggers = new Map<number, Eventfd>();
  /** Log2 of what SET_IRQS asked for (vdev->msi_qmax). */
  queueMax = 0;
  /** Linux 6.1: no vector beyond those of the first call (num_ctx). */
  #vectors = 0;

  constructor(
    readonly messages: Messages,
    /** Vectors can be added while MSI-X is enabled (since 6.5). */
    readonly dynamic: boolean,
    readonly memoryEnabled: <T>(work: () => T) => T,
  ) {}

  /** vfio_msi_enable(): positive when there are fewer vectors than asked for. */
  enable(kind: 'msi' | 'msix', count: number): number {
    // pci_alloc_irq_vectors() wants at least the one that it is allowed.
    if (count < 1) return -ERANGE;
    const got = this.memoryEnabled(() => this.messages.allocate(kind, count));
    if (got < count) {
      if (got > 0) this.memoryEnabled(() => this.messages.freeAll());
      return got;
    }
    this.#vectors = count;
    if (kind === 'msi') this.queueMax = Math.ceil(Math.log2(count));
    return 0;
  }

  disable(): void {
    for (const vector of [...this.#triggers.keys()]) this.#set(undefined, vector, -1);
    this.memoryEnabled(() => this.messages.freeAll());
  }

  /** Whether SET_IRQS may name these now. */
  covers(start: number, count: number): boolean {
    return this.dynamic || start + count <= this.#vectors;
  }

  /** vfio_msi_set_block(): all of them, or none. */
  setBlock(process: Process, start: number, fds: readonly number[]): number {
    if (!this.covers(start, Math.max(1, fds.length))) return -EINVAL;
    for (const [i, fd] of fds.entries()) {
      const result = this.#set(process, start + i, fd);
      if (result === 0) continue;
      for (let undo = start; undo <= start + i; undo++) this.#set(undefined, undo, -1);
      return result;
    }
    return 0;
  }

  signal(vector: number): void {
    this.#triggers.get(vector)?.signal();
  }

  /** vfio_msi_set_vector_signal() */
  #set(process: Process | undefined, vector: number, fd: number): number {
    if (this.#triggers.delete(vector)) this.memoryEnabled(() => this.messages.free(vector));
    if (fd < 0 || process === undefined) return 0;
    if (!this.messages.has(vector)) {
      if (this.messages.kind !== 'msix' || !this.dynamic) return -EINVAL;
      const added = this.memoryEnabled(() => this.messages.allocateAt(vector));
      if (added < 0) return added;
    }
    const eventfd = eventfdOf(process, fd);
    if (typeof eventfd === 'number') return eventfd;
    this.#triggers.set(vector, eventfd);
    this.memoryEnabled(() => this.messages.request(vector, () => eventfd.signal()));
    return 0;
  }
}
