// SPDX-License-Identifier: Apache-2.0
/**
 * The chain doorbell → interrupt → completion as marks with an arrow between them, for the formats that draw arrows. Told as
 * analyzer/performance/chains.ts tells it; a mark is kept back until it is known whether an arrow begins or ends at it.
 */

import { isAccess } from '../../session/groups/event-name.js';
import type { InterruptRoute } from '../../session/interrupts.js';
import { EventKind } from '../../traces/model.js';
import { type QueueRegister, queueRegister } from '../performance/queues.js';
import type { GroupText } from './walk.js';

/** The same object for the same queue, as long as the trace is walked. */
export interface Queue {
  readonly device: number;
  readonly name: string;
}

export interface QueueMark {
  readonly queue: Queue;
  readonly what: 'doorbell' | 'completion';
  /** What it is tells `what`. */
  readonly register: string;
  readonly time: number;
  /** 0: no arrow. */
  readonly flow: number;
}

export interface InterruptMark {
  readonly route: InterruptRoute;
  readonly time: number;
  readonly flow: number;
}

export interface FlowListener {
  queue(mark: QueueMark): void;
  interrupt(mark: InterruptMark): void;
}

/** What a group means for chains; undefined: nothing. */
export type FlowRole =
  | { readonly role: 'submit' | 'complete'; readonly queue: QueueState; readonly register: string }
  | { readonly role: 'wake' | 'touch' };

interface QueueState extends Queue {
  /** The oldest doorbell that is not answered, kept back: ns, -1: there is none. */
  waiting: number;
  register: string;
}

/** A thread's latest wake-up, kept back; undefined: it is told. One for each thread, since there are millions of wake-ups. */
interface Wake {
  route: InterruptRoute | undefined;
  time: number;
}

const QUEUES_MAX = 1 << 12;

export class FlowTracker {
  readonly #listener: FlowListener;
  readonly #queues = new Map<string, QueueState>();
  readonly #wakes = new Map<number, Wake>();
  /** Devices without completion doorbells. */
  readonly #plain = new Set<number>();
  #flow = 0;

  constructor(listener: FlowListener) {
    this.#listener = listener;
  }

  role({ name, errno }: GroupText): FlowRole | undefined {
    if (isAccess(name.kind)) {
      const found = name.kind === EventKind.LOAD ? undefined : queueRegister(name.register);
      if (found !== undefined) {
        const queue = this.#queue(name.object, found);
        if (found.plain) this.#plain.add(name.object);
        if (queue !== undefined) return { role: found.role, queue, register: name.register };
      }
      return { role: 'touch' };
    }
    const woke = name.kind === EventKind.WAKE && errno === '';
    return woke && name.route?.role === 'trigger' ? { role: 'wake' } : undefined;
  }

  /** `time`: when the event was done, ns. */
  event(flow: FlowRole, text: GroupText, time: number): void {
    const { threadId, name } = text;
    switch (flow.role) {
      case 'wake':
        this.#wake(threadId, name.route as InterruptRoute, time);
        break;
      case 'submit': {
        if (this.#plain.has(name.object)) this.#touch(threadId, name.object);
        const { queue, register } = flow;
        if (queue.waiting < 0) {
          queue.waiting = time;
          queue.register = register;
        } else this.#mark(queue, 'doorbell', register, time, 0);
        break;
      }
      case 'complete':
        this.#complete(flow.queue, flow.register, threadId, time);
        break;
      case 'touch':
        if (this.#wakes.size > 0 && this.#plain.has(name.object)) this.#touch(threadId, name.object);
        break;
    }
  }

  /** What is still kept back has no arrow. */
  end(): void {
    for (const thread of [...this.#wakes.keys()]) this.#release(thread);
    for (const queue of this.#queues.values()) this.#answer(queue, 0);
  }

  #complete(queue: QueueState, register: string, thread: number, time: number): void {
    const flow = this.#arrow(queue, thread);
    this.#answer(queue, flow);
    this.#mark(queue, 'completion', register, time, 0);
  }

  /** The number of an arrow from the queue's waiting doorbell to the thread's wake-up, which is told here; 0: there is none. */
  #arrow(queue: QueueState, thread: number): number {
    const wake = this.#wakes.get(thread);
    const route = wake?.route;
    if (wake === undefined || route === undefined || queue.waiting < 0) return 0;
    if (route.device !== queue.device || queue.waiting > wake.time) return 0;
    wake.route = undefined;
    const flow = ++this.#flow;
    this.#listener.interrupt({ route, time: wake.time, flow });
    return flow;
  }

  #touch(thread: number, device: number): void {
    if (this.#wakes.get(thread)?.route?.device !== device) return;
    for (const queue of this.#queues.values()) {
      if (queue.device !== device || queue.waiting < 0) continue;
      const flow = this.#arrow(queue, thread);
      if (flow !== 0) {
        this.#answer(queue, flow);
        return;
      }
    }
    this.#release(thread);
  }

  #answer(queue: QueueState, flow: number): void {
    const { waiting, register } = queue;
    queue.waiting = -1;
    if (waiting >= 0) this.#mark(queue, 'doorbell', register, waiting, flow);
  }

  #wake(thread: number, route: InterruptRoute, time: number): void {
    this.#release(thread);
    const wake = this.#wakes.get(thread);
    if (wake === undefined) this.#wakes.set(thread, { route, time });
    else {
      wake.route = route;
      wake.time = time;
    }
  }

  #release(thread: number): void {
    const wake = this.#wakes.get(thread);
    const route = wake?.route;
    if (wake === undefined || route === undefined) return;
    wake.route = undefined;
    this.#listener.interrupt({ route, time: wake.time, flow: 0 });
  }

  #mark(queue: QueueState, what: QueueMark['what'], register: string, time: number, flow: number): void {
    this.#listener.queue({ queue, what, register, time, flow });
  }

  #queue(device: number, { queue }: QueueRegister): QueueState | undefined {
    const key = `${device} ${queue}`;
    const known = this.#queues.get(key);
    if (known !== undefined || this.#queues.size >= QUEUES_MAX) return known;
    const state: QueueState = { device, name: queue, waiting: -1, register: '' };
    this.#queues.set(key, state);
    return state;
  }
}
