// SPDX-License-Identifier: Apache-2.0
/** The part of a script that is in sight: what has not happened yet, as far as it has been read ahead. */
import type { ConfigStep, IrqStep, ReadStep, ResetStep, Step, WriteStep } from './script.js';

/** What the driver writes: the script goes on with each. */
export type Gate = WriteStep | (ConfigStep & { readonly what: 'config-write' }) | IrqStep | ResetStep;
export type Answer = ReadStep | (ConfigStep & { readonly what: 'config-read' });

/** Writes of other threads that one may overtake. */
export const OVERTAKEN_MOST = 16;
/** How far the script is read ahead: writes, and steps of all kinds. */
const GATES_AHEAD = 64;
const STEPS_AHEAD = 1 << 16;

export function isGate(step: Step): step is Gate {
  return (
    step.what === 'write' || step.what === 'config-write' || step.what === 'irqs' || step.what === 'reset'
  );
}

export function isAnswer(step: Step): step is Answer {
  return step.what === 'read' || step.what === 'config-read';
}

/** Which register, or which call. */
export function keyOf(step: Gate | Answer): string {
  switch (step.what) {
    case 'read':
    case 'write':
      return `${step.region}+${step.offset}/${step.width}`;
    case 'config-read':
    case 'config-write':
      return `config+${step.offset}/${step.bytes.length}`;
    case 'irqs':
    case 'reset':
      return step.what;
  }
}

export class ScriptWindow {
  readonly #script: Iterator<Step>;
  #steps: Step[] = [];
  #gates = 0;
  #ended = false;

  constructor(script: Iterator<Step>) {
    this.#script = script;
  }

  get steps(): readonly Step[] {
    return this.#steps;
  }

  get gates(): readonly Gate[] {
    return this.#steps.filter(isGate);
  }

  /** What the driver is to write next. */
  get next(): Gate | undefined {
    return this.#steps.find(isGate);
  }

  before(gate: Gate): readonly Step[] {
    return this.#steps.slice(0, this.#steps.indexOf(gate));
  }

  fill(): void {
    while (!this.#ended && this.#gates < GATES_AHEAD && this.#steps.length < STEPS_AHEAD) {
      const { value, done } = this.#script.next();
      if (done === true) this.#ended = true;
      else {
        this.#steps.push(value);
        if (isGate(value)) this.#gates++;
      }
    }
  }

  /** The recorded answer, where a read of this register comes before the next write of its thread. */
  takeAnswer(key: string): Answer | undefined {
    this.fill();
    const blocked = new Set<number>();
    for (let i = 0; i < this.#steps.length; i++) {
      const step = this.#steps[i] as Step;
      if (isGate(step)) {
        blocked.add(step.thread);
        if (blocked.size > OVERTAKEN_MOST) return undefined;
      } else if (isAnswer(step) && !blocked.has(step.thread) && keyOf(step) === key) {
        this.#steps.splice(i, 1);
        return step;
      }
    }
    return undefined;
  }

  /** What a register is read as later on. */
  laterValue(key: string): bigint | undefined {
    for (const step of this.#steps) if (step.what === 'read' && keyOf(step) === key) return step.value;
    return undefined;
  }

  has(step: Step): boolean {
    return this.#steps.includes(step);
  }

  remove(step: Step): void {
    this.#steps.splice(this.#steps.indexOf(step), 1);
    if (isGate(step)) this.#gates--;
  }

  /** None of them a gate. */
  removeAll(steps: readonly Step[]): void {
    if (steps.length === 0) return;
    const gone = new Set(steps);
    this.#steps = this.#steps.filter((step) => !gone.has(step));
  }

  /** What is to happen before anything else. */
  putFirst(steps: readonly Step[]): void {
    this.#steps.unshift(...steps);
  }

  /** All that is left: how many writes, and the first of them. */
  drain(): { readonly first: Gate | undefined; readonly count: number } {
    let first: Gate | undefined;
    let count = 0;
    for (; this.#steps.length > 0; this.fill()) {
      for (const step of this.#steps) {
        if (!isGate(step)) continue;
        first ??= step;
        count++;
      }
      this.#steps = [];
      this.#gates = 0;
    }
    return { first, count };
  }
}
