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
  readonly device: ChainedDevice;
  readonly queue: string;
  doorbells: number;
  completions: number;
  /** Completions that an interrupt led to. */
  woken: number;
  /** ns; NEVER: none is unanswered. */
  oldest: number;
  readonly doorbellToWake: Histogram;
  readonly wakeToRead: Histogram;
  readonly readToCompletion: Histogram;
  readonly doorbellToCompletion: Histogram;
}

export interface ChainedDevice {
  /** DeviceState's object. */
  readonly object: number;
  /** It has no completion doorbells, as NVMe has: the first access after a wake-up tells its completions. */
  readonly plain: boolean;
  /** It has interrupts that a thread sees. */
  readonly interrupts: boolean;
  readonly chains: QueueChain[];
}

interface Device extends ChainedDevice {
  plain: boolean;
  interrupts: boolean;
}

/** What a thread was last woken for. */
export interface WokenThread {
  device: ChainedDevice | undefined;
  /** ns */
  wake: number;
  /** ns; NEVER: not yet. */
  read: number;
  /** The first completion after a wake-up is measured against it; later ones of the same wake-up came with it. */
  measured: boolean;
  /** It is one of `awaiting`. */
  awaited: boolean;
}

const QUEUES_MAX = 1 << 12;
/** Before every time: not a small integer, so that V8 keeps the times beside it as they are from the first one on. */
export const NEVER = Number.NEGATIVE_INFINITY;

export class Chains {
  readonly queues = new Map<string, QueueChain>();
  readonly #devices = new Map<number, Device>();
  readonly #threads = new Map<number, WokenThread>();
  /** Threads that were woken and have not touched their plain device yet. */
  awaiting = 0;
  /** Grows when a device has become plain, or has got interrupts. */
  epoch = 0;

  device(object: number): ChainedDevice {
    return this.#device(object);
  }

  #device(object: number): Device {
    const known = this.#devices.get(object);
    if (known !== undefined) return known;
    const device = { object, plain: false, interrupts: false, chains: [] };
    this.#devices.set(object, device);
    return device;
  }

  interrupted(object: number): ChainedDevice {
    const device = this.#device(object);
    if (!device.interrupts) this.epoch++;
    device.interrupts = true;
    return device;
  }

  thread(id: number): WokenThread {
    const known = this.#threads.get(id);
    if (known !== undefined) return known;
    const thread: WokenThread = {
      device: undefined,
      wake: NEVER,
      read: NEVER,
      measured: false,
      awaited: false,
    };
    this.#threads.set(id, thread);
    return thread;
  }

  queue(object: number, { queue, plain }: QueueRegister): QueueChain | undefined {
    const device = this.#device(object);
    if (plain && !device.plain) {
      device.plain = true;
      this.epoch++;
    }
    const key = `${object} ${queue}`;
    const known = this.queues.get(key);
    if (known !== undefined || this.queues.size >= QUEUES_MAX) return known;
    const chain: QueueChain = {
      device,
      queue,
      doorbells: 0,
      completions: 0,
      woken: 0,
      oldest: NEVER,
      doorbellToWake: new Histogram(),
      wakeToRead: new Histogram(),
      readToCompletion: new Histogram(),
      doorbellToCompletion: new Histogram(),
    };
    this.queues.set(key, chain);
    device.chains.push(chain);
    return chain;
  }

  /** A thread was woken by an interrupt of this device. */
  wake(thread: WokenThread, device: ChainedDevice, time: number): void {
    if (thread.awaited) this.awaiting--;
    if (device.plain) this.awaiting++;
    thread.device = device;
    thread.wake = time;
    thread.read = NEVER;
    thread.measured = false;
    thread.awaited = device.plain;
  }

  /** The thread has read the eventfd. A read that nobody was woken for is its own wake-up. */
  read(thread: WokenThread, device: ChainedDevice, time: number): void {
    if (thread.device !== device || thread.read >= 0) this.wake(thread, device, time);
    thread.read = time;
  }

  /** The thread told the device how far it has taken the queue: one of its completions. */
  complete(chain: QueueChain, thread: WokenThread, time: number): void {
    if (thread.device === chain.device && !thread.measured && !chain.device.plain) {
      thread.measured = true;
      this.#measure(chain, thread, time);
    }
    if (chain.oldest >= 0) add(chain.doorbellToCompletion, time - chain.oldest);
    chain.oldest = NEVER;
  }

  /** A thread touched a plain device: once it was woken, that answers for all its queues. */
  touch(device: ChainedDevice, thread: WokenThread, time: number): void {
    if (thread.device !== device || thread.measured) return;
    thread.measured = true;
    if (thread.awaited) this.awaiting--;
    thread.awaited = false;
    for (const chain of device.chains) {
      if (chain.oldest < 0 || chain.oldest > thread.wake) continue;
      chain.completions++;
      this.#measure(chain, thread, time);
      add(chain.doorbellToCompletion, time - chain.oldest);
      chain.oldest = NEVER;
    }
  }

  #measure(chain: QueueChain, { wake, read }: WokenThread, time: number): void {
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
