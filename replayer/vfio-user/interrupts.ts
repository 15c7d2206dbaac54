// SPDX-License-Identifier: Apache-2.0
/** VFIO_USER_DEVICE_SET_IRQS: VFIO's SET_IRQS, whose eventfds come beside the message instead of in it. */
import { decode, encode, type Values } from '../../abi/layout.js';
import { IRQ_SET, IRQ_SET_FLAGS } from '../../abi/vfio/irqs.js';
import { EINVAL } from '../kernel/errno.js';
import type { Eventfd } from '../kernel/process.js';
import { isEventfdDescriptor, PassedEventfd } from './eventfd.js';

const { DATA_BOOL, DATA_EVENTFD, DATA_NONE, ACTION_TRIGGER } = IRQ_SET_FLAGS.bits;
const INDEXES = 5;
/** The most vectors that any index has (PCI 3.0 §6.8.2.3). */
const VECTORS_MOST = 2048;

export class PassedInterrupts {
  /** By action, index and vector: what a later message replaces is closed. */
  readonly #held = new Map<string, PassedEventfd>();
  /** Those of the message that is being answered, by descriptor. */
  #offered = new Map<number, PassedEventfd>();

  /** process.file() of the client while a message is answered. */
  file(fd: number): Eventfd | 'other' | undefined {
    return this.#offered.get(fd) ?? (fd < 0 ? undefined : 'other');
  }

  get watched(): readonly PassedEventfd[] {
    return [...this.#held.values()].filter(({ isWatched }) => isWatched);
  }

  /** 0 or a negative errno; the descriptors are taken over when it is 0. `ioctl` does what the structure says. */
  set(payload: Uint8Array, fds: readonly number[], ioctl: (structure: Uint8Array) => number): number {
    if (payload.length < IRQ_SET.size) return -EINVAL;
    const given = decode(IRQ_SET, payload) as Values<typeof IRQ_SET>;
    const { argsz, flags, start, count, index } = given;
    const data = payload.subarray(IRQ_SET.size);
    if (argsz < IRQ_SET.size || count > VECTORS_MOST) return -EINVAL;
    const wantsFds = (flags & DATA_EVENTFD) !== 0;
    if (data.length !== ((flags & DATA_BOOL) !== 0 ? count : 0)) return -EINVAL;
    if (fds.length !== 0 && (!wantsFds || fds.length !== count)) return -EINVAL;
    if (!fds.every(isEventfdDescriptor)) return -EINVAL;

    const key = (vector: number): string => `${flags & ~(DATA_EVENTFD | DATA_NONE)} ${index} ${vector}`;
    // VFIO lets go of an eventfd for masks when its last user closes it; here a descriptor of it is kept, until the next comes.
    if (fds.length > 0 && (flags & ACTION_TRIGGER) === 0 && this.#held.has(key(start)))
      ioctl(structureOf(given, eventfdBytes([], count)));
    const structure = structureOf(given, wantsFds ? eventfdBytes(fds, count) : data);
    this.#offered = new Map(fds.map((fd) => [fd, new PassedEventfd(fd)]));
    const isOff = (flags & (DATA_NONE | ACTION_TRIGGER)) === (DATA_NONE | ACTION_TRIGGER) && count === 0;
    const answered = ioctl(structure);
    // VFIO refuses to disable what is not enabled (vfio_pci_set_msi_trigger); here it "disables all interrupts of the index".
    const result = isOff && index < INDEXES && answered === -EINVAL ? 0 : answered;
    const offered = this.#offered;
    this.#offered = new Map();
    if (result !== 0) return result;

    if (wantsFds) {
      for (let i = 0; i < count; i++) {
        this.#drop(key(start + i));
        const eventfd = fds[i] === undefined ? undefined : offered.get(fds[i] as number);
        if (eventfd !== undefined) this.#held.set(key(start + i), eventfd);
      }
    } else if (count === 0 && (flags & ACTION_TRIGGER) !== 0) {
      for (const name of [...this.#held.keys()]) if (name.split(' ')[1] === String(index)) this.#drop(name);
    }
    return 0;
  }

  /** The client is gone; the device has been told by SET_IRQS before. */
  clear(): void {
    for (const name of [...this.#held.keys()]) this.#drop(name);
  }

  #drop(name: string): void {
    this.#held.get(name)?.close();
    this.#held.delete(name);
  }
}

/** Without descriptors: what was assigned is taken away. */
function eventfdBytes(fds: readonly number[], count: number): Uint8Array {
  const bytes = new Uint8Array(4 * count);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) view.setInt32(4 * i, fds[i] ?? -1, true);
  return bytes;
}

function structureOf(given: Values<typeof IRQ_SET>, data: Uint8Array): Uint8Array {
  const structure = new Uint8Array(IRQ_SET.size + data.length);
  structure.set(encode(IRQ_SET, { ...given, argsz: structure.length }));
  structure.set(data, IRQ_SET.size);
  return structure;
}
