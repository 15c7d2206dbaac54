// SPDX-License-Identifier: Apache-2.0
/** The phases of one device's life, from marks that come in the order of events; constant memory. */
import type { Phase } from './phase.js';
import { type Mark, type Run, SetUp } from './set-up.js';

/** A device that is set up again and again is told apart so many times; after that it is all one. */
const SPANS_MAX = 512;

export class DevicePhases {
  readonly #mayBegin: (event: number) => void;
  readonly #runs: Run[] = [];
  /** What comes before the work, or after it: the end, unless there is more work. */
  #around: SetUp;
  #steady = false;

  /** `mayBegin` is told of each event that a phase begins with, and of some with which none does. */
  constructor(mayBegin: (event: number) => void) {
    this.#mayBegin = mayBegin;
    this.#around = new SetUp(mayBegin);
  }

  /** It works: only what undoes something, or resets it, says something new. */
  get isSettled(): boolean {
    return this.#steady && this.#around.isEmpty;
  }

  mark(mark: Mark, event: number): void {
    if (!this.#steady) {
      if (mark === 'work') this.#begin(event, this.#around.runs());
      else this.#around.mark(mark, event);
    } else if (mark === 'work') {
      if (!this.#around.isEmpty) this.#goOn(event);
    } else if (mark === 'ending' || mark === 'reset' || !this.#around.isEmpty) this.#around.mark(mark, event);
  }

  #begin(event: number, before: readonly Run[]): void {
    for (const { phase, from } of before) this.#push(phase, from);
    this.#mayBegin(event);
    this.#push('steady', event);
    this.#around = new SetUp(this.#mayBegin);
    this.#steady = true;
  }

  /** What looked like the end was none, or another set-up followed it. */
  #goOn(event: number): void {
    const { resetSeen } = this.#around;
    const runs = this.#around.runs();
    this.#around = new SetUp(this.#mayBegin);
    if (!resetSeen || this.#runs.length >= SPANS_MAX) return;
    const reset = runs.findIndex(({ phase }) => phase === 'reset');
    const [undone] = runs.slice(0, reset);
    if (undone !== undefined) this.#push('teardown', undone.from);
    this.#begin(event, runs.slice(reset));
  }

  #push(phase: Phase, from: number): void {
    if (this.#runs.at(-1)?.phase !== phase) this.#runs.push({ phase, from });
  }

  /** The recording is over. */
  end(): readonly Run[] {
    if (!this.#steady) for (const { phase, from } of this.#around.withWork()) this.#push(phase, from);
    else {
      const [undone] = this.#around.runs();
      if (undone !== undefined) this.#push('teardown', undone.from);
    }
    return this.#runs;
  }
}
