// SPDX-License-Identifier: Apache-2.0
/** Interrupts: an eventfd that the driver read is waited for. */
import { durationText } from '../../session/describe/time.js';
import { type InterruptRoute, routeName } from '../../session/interrupts.js';
import { type Event, EventKind } from '../../traces/model.js';
import type { ReplayContext } from './context.js';

const MESSAGES: ReadonlySet<number> = new Set([1, 2]);
/** With the recorded pace an interrupt that is later than this is a divergence: schedulers are, by less. */
const LATE_NS = 100_000_000;
/** A driver may have slept for an hour: who replays would rather know. */
const LONGEST_NS = 5_000_000_000;

export class Interrupts {
  readonly #context: ReplayContext;
  /** Eventfds that were read at least once in the recording. */
  readonly #heard = new Set<number>();
  /** Signals that a read here took together, where the driver read one by one. */
  readonly #early = new Map<number, bigint>();

  constructor(context: ReplayContext) {
    this.#context = context;
  }

  /** A read or write of an eventfd; whether it was made. */
  transfer(event: Event): boolean {
    const { account, counterparts, session, pace, target } = this.#context;
    const eventfd = counterparts.eventfds.get(event.object);
    const route = session.interrupts.of(event.object);
    if (eventfd === undefined || route === undefined || event.errno !== 0) return false;
    if (event.kind === EventKind.WRITE) {
      pace.wait(event.time);
      account.operations++;
      eventfd.write();
      target.settle();
      return true;
    }
    this.#heard.add(event.object);
    if (this.#isWithheld(route)) {
      account.omit('interrupts, which are messages and need bus mastering');
      return false;
    }
    pace.wait(event.time);
    account.operations++;
    this.#await(event, route, eventfd);
    return true;
  }

  #await(event: Event, route: InterruptRoute, eventfd: { wait(ns: number): bigint; read(): bigint }): void {
    const { account, patience, pace, target } = this.#context;
    account.compare();
    const early = this.#early.get(event.object) ?? 0n;
    if (early > 0n) {
      this.#early.set(event.object, early > event.value ? early - event.value : 0n);
      return;
    }
    // The driver slept in read, or in a poll before it.
    const due = event.duration + LATE_NS;
    const started = process.hrtime.bigint();
    target.settle();
    let count = eventfd.read();
    if (count === 0n)
      count = eventfd.wait(patience.of(`eventfd${event.object}`) + Math.min(event.duration, LONGEST_NS));
    const recorded = `${event.value} signalled`;
    if (count === 0n) {
      patience.wasInVain(`eventfd${event.object}`);
      account.diverge('interrupt', event.number, route.device, routeName(route), recorded, 'none');
      return;
    }
    patience.wasRewarded(`eventfd${event.object}`);
    if (count > event.value)
      this.#early.set(event.object, (this.#early.get(event.object) ?? 0n) + count - event.value);
    const waited = Number(process.hrtime.bigint() - started);
    if (pace.recorded && waited > due) {
      const late = `${durationText(waited - event.duration)} late`;
      account.diverge('interrupt', event.number, route.device, routeName(route), recorded, late);
    }
  }

  /** Signalled at the end, and never read in the recording. */
  leftOver(): void {
    const { account, counterparts, session } = this.#context;
    for (const [object, eventfd] of counterparts.eventfds) {
      const route = session.interrupts.of(object);
      if (this.#heard.has(object) || route?.role !== 'trigger') continue;
      if (session.interrupts.isInKernel(object)) continue;
      const count = eventfd.read();
      account.compare();
      if (count === 0n) continue;
      const seen = `${count} signalled`;
      account.diverge('interrupt', account.event, route.device, routeName(route), 'never read', seen);
    }
  }

  #isWithheld({ index }: InterruptRoute): boolean {
    return MESSAGES.has(index) && this.#context.guard?.mayInterrupt === false;
  }
}
