// SPDX-License-Identifier: Apache-2.0
/**
 * One time of setting a device up, or what looks like its end: from marks to stretches. Setting up goes forward: once BARs are
 * initialized, a look at configuration space is a part of that; only a reset begins anew.
 */
import type { Phase } from './phase.js';

/**
 * What an event says: the phase of setting up that it belongs to; `access`: of a BAR; `admin`: a command that prepares or
 * ends the work; `work`: what the driver is there for; `ending`: something is undone; `other`: none of these.
 */
export type Mark = 'open' | 'reset' | 'config' | 'access' | 'queues' | 'admin' | 'work' | 'ending' | 'other';

/** When an event was entered and completed, ns. */
export interface Span {
  readonly event: number;
  readonly start: number;
  readonly end: number;
}

export interface Run {
  readonly phase: Phase;
  readonly from: Span;
  to: Span;
  /** The last mark but one. */
  was: Span;
  events: number;
}

/** One more. */
export function extend(run: Run, at: Span): void {
  run.was = run.to;
  run.to = at;
  run.events++;
}

/** An access is marked again when it turns out what it meant to the controller: the first mark is taken back. */
export function takeBack(run: Run | undefined, { event }: Span): boolean {
  if (run?.to.event !== event) return false;
  run.to = run.was;
  run.events--;
  return true;
}

/** Something that splits the runs later: where, and how many marks came before. */
interface Cut {
  readonly at: Span;
  readonly before: number;
}

const LEVELS: readonly Phase[] = ['open', 'config', 'BAR init', 'queues'];
const LEVEL: Readonly<Partial<Record<Mark, number>>> = {
  open: 0,
  config: 1,
  access: 2,
  queues: 3,
  admin: 3,
};
/** What goes to and fro more often than this is one run. */
const RUNS_MAX = 256;
/** A device that is waited for between two resets. */
const WAITING_MAX = 16;

export class SetUp {
  #runs: Run[] = [];
  #level = -1;
  #count = 0;
  #admin: Cut | undefined;
  /** The first access since something was set up. */
  #quiet: Cut | undefined;
  #ending: Cut | undefined;
  resetSeen = false;

  get count(): number {
    return this.#count;
  }

  mark(mark: Mark, at: Span): void {
    const cut = { at, before: this.#count };
    switch (mark) {
      case 'reset':
        this.resetSeen = true;
        this.#admin = undefined;
        this.#settingUp();
        break;
      case 'config':
      case 'queues':
        this.#settingUp();
        break;
      case 'admin':
        this.#admin ??= cut;
        break;
      case 'access':
        this.#quiet ??= cut;
        break;
      case 'ending':
        this.#ending ??= cut;
        break;
      case 'open':
      case 'work':
      case 'other':
        break;
    }
    const last = this.#runs.at(-1);
    if (takeBack(last, at)) {
      this.#count--;
      if (last?.events === 0) this.#runs.pop();
    }
    this.#count++;
    this.#run(this.#phase(mark), at);
  }

  #settingUp(): void {
    this.#quiet = undefined;
    this.#ending = undefined;
  }

  #phase(mark: Mark): Phase {
    if (mark === 'reset') {
      this.#level = 0;
      return 'reset';
    }
    const level = LEVEL[mark];
    const last = this.#runs.at(-1);
    // A question to the kernel, or something of the process's own, belongs to what is going on.
    if (last !== undefined && (level === undefined || level === 0)) return last.phase;
    this.#level = Math.max(this.#level, level ?? 0);
    return LEVELS[this.#level] as Phase;
  }

  #run(phase: Phase, at: Span): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && (last.phase === phase || this.#runs.length >= RUNS_MAX)) {
      extend(last, at);
      return;
    }
    const before = this.#runs.at(-2);
    if (phase === 'reset' && last !== undefined && before?.phase === 'reset' && last.events < WAITING_MAX) {
      this.#runs.pop();
      before.events += last.events;
      extend(before, at);
    } else this.#runs.push({ phase, from: at, to: at, was: at, events: 1 });
  }

  /** All of it as setting up. */
  runs(): readonly Run[] {
    return this.#runs;
  }

  /**
   * The recording is over, and no work was seen: no register is known by which the device is told to work, or it got
   * commands only. Then it worked when nothing was set up any more.
   */
  withWork(): readonly Run[] {
    const work = this.#admin ?? this.#quiet;
    const ending = this.#ending;
    const cuts: readonly (Cut & { readonly phase: Phase })[] = [
      ...(work === undefined || (ending !== undefined && ending.before <= work.before)
        ? []
        : [{ ...work, phase: 'steady' as const }]),
      ...(ending === undefined ? [] : [{ ...ending, phase: 'teardown' as const }]),
    ];
    return cuts.reduce<readonly Run[]>(
      (runs, { at, before, phase }) => split(runs, at, before, this.#count, phase),
      this.#runs,
    );
  }
}

/** From `at` on it is all one phase. */
function split(runs: readonly Run[], at: Span, before: number, count: number, phase: Phase): readonly Run[] {
  const kept: Run[] = [];
  let seen = 0;
  for (const run of runs) {
    if (seen >= before) break;
    const events = Math.min(run.events, before - seen);
    seen += events;
    kept.push(
      events === run.events ? run : { ...run, to: { ...at, event: at.event - 1, end: at.start }, events },
    );
  }
  const last = runs.at(-1);
  return last === undefined
    ? []
    : [...kept, { phase, from: at, to: last.to, was: last.to, events: count - before }];
}
