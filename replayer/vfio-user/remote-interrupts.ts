// SPDX-License-Identifier: Apache-2.0
/**
 * A remote device's interrupts: eventfds that the server writes to. VFIO_USER_DEVICE_SET_IRQS knows one kind at a time; which,
 * follows what the driver enabled.
 */
import { encode } from '../../abi/layout.js';
import { IRQ_INDEXES, IRQ_SET, IRQ_SET_FLAGS } from '../../abi/vfio/irqs.js';
import { Command } from './protocol.js';
import type { ServerConnection } from './server-connection.js';

export type MessageKind = 'none' | 'msi' | 'msix';

const { INTX, MSI, MSIX } = IRQ_INDEXES.values;
const { DATA_NONE, DATA_EVENTFD, ACTION_TRIGGER, ACTION_UNMASK } = IRQ_SET_FLAGS.bits;
const INDEX: Readonly<Record<MessageKind, number>> = { none: INTX, msi: MSI, msix: MSIX };
const EFD_FLAGS = 0o2000000 | 0o4000; // EFD_CLOEXEC, EFD_NONBLOCK

export class RemoteInterrupts {
  #kind: MessageKind | undefined;
  /** In the order of the vectors. */
  #eventfds: readonly number[] = [];

  constructor(
    readonly server: ServerConnection,
    /** Of INTx, MSI and MSI-X. */
    readonly vectors: readonly number[],
    readonly interrupted: (kind: MessageKind, vector: number) => void,
    readonly say: (line: string) => void,
  ) {}

  /** The server signals this kind from now on. */
  route(kind: MessageKind): void {
    if (kind === this.#kind) return;
    this.release();
    this.#kind = kind;
    const { libc, readiness, theirs } = this.server;
    const count = this.vectors[INDEX[kind]] ?? 0;
    const eventfds = Array.from({ length: count }, () => libc.eventfd(0, EFD_FLAGS));
    if (eventfds.some((fd) => fd < 0)) {
      for (const fd of eventfds) if (fd >= 0) libc.close(fd);
      this.say('no descriptors are left for the interrupts of its device');
      return;
    }
    this.#eventfds = eventfds;
    eventfds.forEach((fd, vector) => {
      readiness.add(fd, () => {
        if (this.#take(fd)) this.interrupted(kind, vector);
      });
    });
    const most = Math.max(1, theirs.maxMessageFds);
    for (let start = 0; start < count; start += most) {
      const fds = eventfds.slice(start, start + most);
      const values = { index: INDEX[kind], start, count: fds.length };
      if (!this.#set({ ...values, flags: DATA_EVENTFD | ACTION_TRIGGER }, fds)) {
        this.say(`it refuses eventfds for ${kind === 'none' ? 'INTx' : kind.toUpperCase()}`);
        return;
      }
    }
  }

  /** The driver has looked at the device: if INTx is still asserted, it comes again. */
  unmaskIntx(): void {
    for (const fd of this.#eventfds) this.#take(fd);
    this.#set({ index: INTX, start: 0, count: 1, flags: DATA_NONE | ACTION_UNMASK }, []);
  }

  release(): void {
    const { libc, readiness } = this.server;
    if (this.#kind !== undefined && this.#eventfds.length > 0)
      this.#set({ index: INDEX[this.#kind], start: 0, count: 0, flags: DATA_NONE | ACTION_TRIGGER }, []);
    for (const fd of this.#eventfds) {
      readiness.remove(fd);
      libc.close(fd);
    }
    this.#eventfds = [];
    this.#kind = undefined;
  }

  /** Whether it had been written to. */
  #take(fd: number): boolean {
    return this.server.libc.read(fd, new Uint8Array(new ArrayBuffer(8))) === 8;
  }

  #set(
    values: {
      readonly index: number;
      readonly start: number;
      readonly count: number;
      readonly flags: number;
    },
    fds: readonly number[],
  ): boolean {
    const payload = encode(IRQ_SET, { argsz: IRQ_SET.size, ...values });
    return typeof this.server.ask(Command.DEVICE_SET_IRQS, payload, fds) !== 'number';
  }
}
