// SPDX-License-Identifier: Apache-2.0
/**
 * Tells the event loop when descriptors can be read that Node has no stream for (eventfds, sockets that carry descriptors):
 * one epoll(7), in which one thread of the pool waits.
 */
import type { Libc } from './libc.js';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** struct epoll_event, which is packed on x86-64. */
const EVENT = 12;
const EVENTS = 64;
const EFD_NONBLOCK = 0o4000;

export class Readiness {
  readonly #epoll: number;
  readonly #wake: number;
  readonly #control;
  readonly #wait;
  readonly #waitHere;
  readonly #events: bigint;
  readonly #callbacks = new Map<number, () => void>();
  #waiting = false;
  #closed = false;

  constructor(readonly libc: Libc) {
    this.#epoll = libc.result(libc.function('epoll_create1', 'int', ['int'])(EPOLL_CLOEXEC));
    this.#wake = libc.eventfd(0, EFD_NONBLOCK);
    if (this.#epoll < 0 || this.#wake < 0) throw new Error('no descriptor is left');
    this.#control = libc.function('epoll_ctl', 'int', ['int', 'int', 'int', 'void *']);
    this.#wait = libc.asynchronous('epoll_wait', 'int', ['int', 'uint64_t', 'int', 'int']);
    this.#waitHere = libc.function('epoll_wait', 'int', ['int', 'void *', 'int', 'int']);
    // Where the thread writes must not move.
    this.#events = libc.allocate(4096n);
    this.#change(EPOLL_CTL_ADD, this.#wake, EPOLLIN);
  }

  /** Calls back, again and again, while the descriptor can be read or has hung up. */
  add(fd: number, callback: () => void): void {
    this.#callbacks.set(fd, callback);
    this.#change(EPOLL_CTL_ADD, fd, EPOLLIN);
    this.#arm();
  }

  /** Calls back when the other end of a socket is gone, and not for what comes. */
  addHangUp(fd: number, callback: () => void): void {
    this.#callbacks.set(fd, callback);
    this.#change(EPOLL_CTL_ADD, fd, 0);
    this.#arm();
  }

  /** For who does not let the event loop turn: calls back for what is there, or comes within so many ms. */
  poll(milliseconds: number): void {
    const events = new Uint8Array(new ArrayBuffer(EVENT * EVENTS));
    this.#callBack(events, this.#waitHere(this.#epoll, events, EVENTS, milliseconds) as number);
  }

  /** Before the descriptor is closed. */
  remove(fd: number): void {
    if (this.#callbacks.delete(fd)) this.#change(EPOLL_CTL_DEL, fd, 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#callbacks.clear();
    if (this.#waiting) this.libc.write(this.#wake, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    else this.#release();
  }

  #change(operation: number, fd: number, events: number): void {
    const event = new Uint8Array(new ArrayBuffer(EVENT));
    const view = new DataView(event.buffer);
    view.setUint32(0, events, true);
    view.setInt32(4, fd, true);
    this.#control(this.#epoll, operation, fd, event);
  }

  #arm(): void {
    if (this.#waiting || this.#closed) return;
    this.#waiting = true;
    this.#wait(this.#epoll, this.#events, EVENTS, -1)((count) => this.#ready(count));
  }

  #ready(count: number): void {
    this.#waiting = false;
    if (this.#closed) {
      this.#release();
      return;
    }
    this.#callBack(Uint8Array.from(this.libc.view(this.#events, EVENT * EVENTS)), count);
    this.#arm();
  }

  #callBack(events: Uint8Array, count: number): void {
    const view = new DataView(events.buffer, events.byteOffset);
    for (let i = 0; i < count; i++) this.#callbacks.get(view.getInt32(EVENT * i + 4, true))?.();
  }

  #release(): void {
    this.libc.close(this.#wake);
    this.libc.close(this.#epoll);
    this.libc.munmap(this.#events, 4096n);
  }
}
