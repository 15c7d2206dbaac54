// SPDX-License-Identifier: Apache-2.0
/** The phases of one device's life, from marks that come in the order of events; constant memory. */
import type { DeviceLife } from '../device-life.js';
import type { Phase, PhaseSpan } from './phase.js';
import { extend, type Mark, type Run, SetUp, type Span, takeBack } from './set-up.js';

/** A device that is set up again and again is told apart so many times; after that it is all one. */
const SPANS_MAX = 512;

export class DevicePhases {
  readonly device: DeviceLife;
  readonly #spans: PhaseSpan[] = [];
  /** What comes before the work, or after it: the end, unless there is more work. */
  #around = new SetUp();
  #steady: Run | undefined;

  constructor(device: DeviceLife) {
    this.device = device;
  }

  mark(mark: Mark, at: Span): void {
    const steady = this.#steady;
    if (steady === undefined) {
      if (mark === 'work') this.#begin(at, this.#around.runs());
      else this.#around.mark(mark, at);
    } else if (mark === 'work') this.#goOn(steady, at);
    else if (this.#around.count > 0 || mark === 'ending' || mark === 'reset') {
      takeBack(steady, at);
      this.#around.mark(mark, at);
    } else extend(steady, at);
  }

  #begin(at: Span, before: readonly Run[]): void {
    for (const run of before) this.#push(run.phase, run);
    this.#around = new SetUp();
    this.#steady = { phase: 'steady', from: at, to: at, was: at, events: 1 };
  }

  /** What looked like the end was none, or another set-up followed it. */
  #goOn(steady: Run, at: Span): void {
    const around = this.#around;
    if (around.resetSeen && this.#spans.length < SPANS_MAX) {
      this.#push('steady', steady);
      const runs = around.runs();
      const reset = runs.findIndex(({ phase }) => phase === 'reset');
      for (const run of runs.slice(0, reset)) this.#push('teardown', run);
      this.#begin(at, runs.slice(reset));
      return;
    }
    if (around.count > 0) {
      steady.events += around.count;
      this.#around = new SetUp();
    }
    extend(steady, at);
  }

  #push(phase: Phase, { from, to, events }: Run): void {
    const last = this.#spans.at(-1);
    if (last?.phase === phase) {
      const end = { event: to.event, time: to.end };
      this.#spans[this.#spans.length - 1] = { ...last, end, events: last.events + events };
      return;
    }
    // A call that waited overlaps with what others did meanwhile.
    const start = { event: from.event, time: Math.max(from.start, last?.end.time ?? 0) };
    const end = { event: to.event, time: Math.max(to.end, start.time) };
    this.#spans.push({ phase, device: this.device, start, end, events });
  }

  spans(): readonly PhaseSpan[] {
    return this.#spans;
  }

  /** The recording is over. */
  end(): void {
    const steady = this.#steady;
    if (steady === undefined) for (const run of this.#around.withWork()) this.#push(run.phase, run);
    else {
      this.#push('steady', steady);
      for (const run of this.#around.runs()) this.#push('teardown', run);
    }
    this.#around = new SetUp();
    this.#steady = undefined;
  }
}
