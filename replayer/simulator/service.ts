// SPDX-License-Identifier: Apache-2.0
/** The eventfds that a driver gave to its devices: held, signalled and watched by the shim's service thread. */
import { SIM_SERVICE_BYTES, SimServiceField, SimServiceType } from '../../abi/wire/sim.js';
import type { Eventfd } from '../kernel/process.js';

/** Sends one message to whichever process can still reach the eventfds of the owner; false when there is none. */
export type ServiceSend = (message: Buffer) => boolean;

/** include/linux/err.h */
const ERRNO_MOST = 4095;

let lastToken = 0n;

export class ServiceEventfd implements Eventfd {
  readonly token = ++lastToken;
  readonly #watchers = new Set<() => void>();

  constructor(readonly service: Service) {}

  signal(): void {
    this.service.signal(this.token);
  }

  watch(callback: () => void): () => void {
    if (this.#watchers.size === 0) this.service.send(SimServiceType.WATCH, this.token);
    this.#watchers.add(callback);
    return () => {
      if (this.#watchers.delete(callback) && this.#watchers.size === 0)
        this.service.send(SimServiceType.UNWATCH, this.token);
    };
  }

  fired(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** One process's eventfds. */
export class Service {
  /** By the kernel's number of the eventfd, so that one given twice is one. */
  readonly #known = new Map<string, WeakRef<ServiceEventfd>>();
  readonly #tokens = new Map<bigint, WeakRef<ServiceEventfd>>();
  /** Answers that a call waits for. */
  readonly #awaited = new Map<bigint, ((result: number) => void)[]>();
  readonly #forgotten = new FinalizationRegistry<bigint>((token) => {
    this.#tokens.delete(token);
    this.send(SimServiceType.RELEASE, token);
  });
  #waiting: Promise<number>[] = [];
  #inCall = false;

  constructor(readonly sendMessage: ServiceSend) {}

  /** The eventfd of a descriptor; `id` is what fdinfo calls it. The process holds a duplicate before the call returns. */
  take(fd: number, id: string | undefined): ServiceEventfd {
    const known = id === undefined ? undefined : this.#known.get(id)?.deref();
    if (known !== undefined) return known;
    const eventfd = new ServiceEventfd(this);
    const reference = new WeakRef(eventfd);
    if (id !== undefined) this.#known.set(id, reference);
    this.#tokens.set(eventfd.token, reference);
    this.#forgotten.register(eventfd, eventfd.token);
    this.#request(SimServiceType.TAKE, eventfd.token, fd);
    return eventfd;
  }

  signal(token: bigint): void {
    // What an ioctl itself triggers has arrived when it returns.
    if (this.#inCall) this.#request(SimServiceType.SIGNAL_NOW, token);
    else this.send(SimServiceType.SIGNAL, token);
  }

  /**
   * Runs a call; the promise, if any, is settled when everything that it asked of the process has been done: 0, or the
   * negative errno of what could not.
   */
  during<T>(call: () => T): { readonly value: T; readonly done: Promise<number> | undefined } {
    this.#inCall = true;
    this.#waiting = [];
    try {
      const value = call();
      if (this.#waiting.length === 0) return { value, done: undefined };
      return { value, done: Promise.all(this.#waiting).then((results) => Math.min(...results)) };
    } finally {
      this.#inCall = false;
    }
  }

  send(type: number, token: bigint, fd = -1): boolean {
    const message = Buffer.alloc(SIM_SERVICE_BYTES);
    message.writeUInt32LE(type, SimServiceField.type);
    message.writeInt32LE(fd, SimServiceField.fd);
    message.writeBigUInt64LE(token, SimServiceField.token);
    return this.sendMessage(message);
  }

  receive(message: Buffer): void {
    const token = message.readBigUInt64LE(SimServiceField.token);
    switch (message.readUInt32LE(SimServiceField.type)) {
      case SimServiceType.TAKEN:
      case SimServiceType.SIGNALLED: {
        const result = Number(message.readBigInt64LE(SimServiceField.result));
        this.#awaited.get(token)?.shift()?.(Math.min(0, Math.max(-ERRNO_MOST, result)));
        break;
      }
      case SimServiceType.FIRED:
        this.#tokens.get(token)?.deref()?.fired();
        break;
      default:
      // A newer shim's: nothing that a call waits for.
    }
  }

  /** The process is gone: nothing more will be answered. */
  gone(): void {
    for (const queue of this.#awaited.values()) for (const done of queue) done(0);
    this.#awaited.clear();
  }

  #request(type: number, token: bigint, fd?: number): void {
    if (!this.send(type, token, fd)) return;
    this.#waiting.push(
      new Promise((resolve) => {
        const queue = this.#awaited.get(token) ?? [];
        queue.push(resolve);
        this.#awaited.set(token, queue);
      }),
    );
  }
}
