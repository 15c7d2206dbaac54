// SPDX-License-Identifier: Apache-2.0
/**
 * From a doorbell to the driver having taken what came of it, for each queue. Which interrupt belongs to which queue is in memory
 * that the recording does not have, so it is told from who does what: the thread that an interrupt woke, and what it then touches.
 *
 *   doorbell   the oldest of the queue that is not answered yet
 *   wake       poll, epoll_wait, … returned in a thread, for an interrupt of the device
 *   read       that thread has read the eventfd
 *   completion it rang the queue's completion doorbell (NVMe), or first touched the device again (others)
 */
import { Histogram } from './histogram.js';
import type { QueueRegister } from './queues.js';

export interface QueueChain {
  /** DeviceState's object. */
  readonly device: number;
  readonly queue: string;
  doorbells: number;
  completions: number;
  /** Completions that an interrupt led to. */
  woken: number;
  /** ns; -1: none is unanswered. */
  oldest: number;
  readonly doorbellToWake: Histogram;
  readonly wakeToRead: Histogram;
  readonly readToCompletion: Histogram;
  readonly doorbellToCompletion: Histogram;
}

interface Woken {
  device: number;
  wake: number;
  read: number;
  /** The first completion after a wake-up is measured against it; later ones of the same wake-up came with it. */
  measured: boolean;
  /** It is one of `awaiting`. */
  awaited: boolean;
}

const QUEUES_MAX = 1 << 12;

export class Chains {
  readonly queues = new Map<string, QueueChain>();
  readonly #byDevice = new Map<number, QueueChain[]>();
  readonly #woken = new Map<number, Woken>();
  /** Devices whose completions are told by the first access after a wake-up. */
  readonly #plain = new Set<number>();
  /** Threads that were woken and have not touched such a device yet. */
  awaiting = 0;

  queue(device: number, { queue }: QueueRegister): QueueChain | undefined {
    const key = `${device} ${queue}`;
    const known = this.queues.get(key);
    if (known !== undefined || this.queues.size >= QUEUES_MAX) return known;
    const chain: QueueChain = {
      device,
      queue,
      doorbells: 0,
      completions: 0,
      woken: 0,
      oldest: -1,
      doorbellToWake: new Histogram(),
      wakeToRead: new Histogram(),
      readToCompletion: new Histogram(),
      doorbellToCompletion: new Histogram(),
    };
    this.queues.set(key, chain);
    const list = this.#byDevice.get(device);
    if (list === undefined) this.#byDevice.set(device, [chain]);
    else list.push(chain);
    return chain;
  }

  /** This device has no completion doorbells: NVMe has. */
  setPlain(device: number): void {
    this.#plain.add(device);
  }

  isPlain(device: number): boolean {
    return this.#plain.has(device);
  }

  wake(thread: number, device: number, time: number): void {
    const held = this.#woken.get(thread);
    if (held?.awaited === true) this.awaiting--;
    const awaited = this.#plain.has(device);
    if (awaited) this.awaiting++;
    if (held === undefined)
      this.#woken.set(thread, { device, wake: time, read: -1, measured: false, awaited });
    else {
      held.device = device;
      held.wake = time;
      held.read = -1;
      held.measured = false;
      held.awaited = awaited;
    }
  }

  /** The thread has read the eventfd. A read that nobody was woken for is its own wake-up. */
  read(thread: number, device: number, time: number): void {
    const held = this.#woken.get(thread);
    if (held === undefined || held.device !== device || held.read >= 0) this.wake(thread, device, time);
    (this.#woken.get(thread) as Woken).read = time;
  }

  /** The thread told the device how far it has taken the queue. */
  complete(chain: QueueChain, thread: number, time: number): void {
    chain.completions++;
    const woken = this.#woken.get(thread);
    if (woken?.device === chain.device && !woken.measured && !this.#plain.has(chain.device)) {
      woken.measured = true;
      this.#measure(chain, woken, time);
    }
    if (chain.oldest >= 0) add(chain.doorbellToCompletion, time - chain.oldest);
    chain.oldest = -1;
  }

  /** A woken thread touched a device that has no completion doorbells: it is answered for all its queues. */
  touch(device: number, thread: number, time: number): void {
    const woken = this.#woken.get(thread);
    if (woken === undefined || woken.device !== device || woken.measured) return;
    woken.measured = true;
    if (woken.awaited) this.awaiting--;
    woken.awaited = false;
    for (const chain of this.#byDevice.get(device) ?? []) {
      if (chain.oldest < 0 || chain.oldest > woken.wake) continue;
      chain.completions++;
      this.#measure(chain, woken, time);
      add(chain.doorbellToCompletion, time - chain.oldest);
      chain.oldest = -1;
    }
  }

  #measure(chain: QueueChain, { wake, read }: Woken, time: number): void {
    chain.woken++;
    // A doorbell after the wake-up is answered by a later one.
    if (chain.oldest >= 0 && chain.oldest <= wake) add(chain.doorbellToWake, wake - chain.oldest);
    if (read < 0) return;
    add(chain.wakeToRead, read - wake);
    add(chain.readToCompletion, time - read);
  }
}

function add(histogram: Histogram, ns: number): void {
  histogram.add(Math.max(0, Math.round(ns)));
}
