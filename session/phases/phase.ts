// SPDX-License-Identifier: Apache-2.0
import type { Moment } from '../story/moment.js';

/**
 * What a driver is busy with, in the order in which it mostly goes. `open`: what leads to the device is found and opened; `reset`: a
 * reset, and what belongs to it; `config`: configuration space; `bar`: BARs are mapped and first touched; `queues`: interrupts, memory
 * and queues are set up; `steady`: it works; `teardown`: something is undone for good.
 */
export const PHASES = ['open', 'reset', 'config', 'bar', 'queues', 'steady', 'teardown'] as const;
export type Phase = (typeof PHASES)[number];

/** A stretch of one device's life; the next one of the same device begins where it ends. */
export interface PhaseSpan {
  readonly phase: Phase;
  /** The device's object. */
  readonly object: number;
  readonly from: Moment;
  /** Not in it any more: the next one's first event, or what follows the device's end. */
  readonly to: Moment;
}

/** ns during which at least one device was in this phase. */
export function phaseNs(spans: readonly PhaseSpan[], phase: Phase): number {
  let sum = 0;
  let until = 0;
  const own = spans.filter((span) => span.phase === phase).sort((a, b) => a.from.time - b.from.time);
  for (const { from, to } of own) {
    sum += Math.max(0, to.time - Math.max(from.time, until));
    until = Math.max(until, to.time);
  }
  return sum;
}

/** Which phase an event belongs to, asked in the order of events. */
export class PhaseCursor {
  readonly #begins: readonly PhaseSpan[];
  readonly #present = new Map<number, Phase>();
  #at = 0;
  #latest: Phase = 'open';

  constructor(spans: readonly PhaseSpan[]) {
    this.#begins = [...spans].sort((a, b) => a.from.event - b.from.event);
  }

  /** The event with which another phase begins; from there on `at` answers otherwise. */
  get next(): number {
    return this.#begins[this.#at]?.from.event ?? Number.POSITIVE_INFINITY;
  }

  /** What belongs to no device is counted with the one whose phase began last. */
  of(device: number): Phase {
    return this.#present.get(device) ?? this.#latest;
  }

  /** True: some phase is another one now. */
  advance(event: number): void {
    while (event >= this.next) {
      const { object, phase } = this.#begins[this.#at++] as PhaseSpan;
      this.#present.set(object, phase);
      this.#latest = phase;
    }
  }
}
