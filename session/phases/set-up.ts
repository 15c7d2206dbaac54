// SPDX-License-Identifier: Apache-2.0
/**
 * One time of setting a device up, or what looks like its end: from marks to stretches. Setting up goes forward: once BARs are
 * initialized, a look at configuration space is a part of that; only a reset begins anew.
 */
import type { Phase } from './phase.js';

/**
 * What an event says: the phase of setting up that it belongs to; `access`: of a BAR; `admin`: a command that prepares or
 * ends the work; `work`: what the driver is there for; `ending`: something is undone.
 */
export type Mark = 'open' | 'reset' | 'config' | 'access' | 'queues' | 'admin' | 'work' | 'ending';

/** Until the next one. */
export interface Run {
  readonly phase: Phase;
  /** Number of its first event. */
  readonly from: number;
}

const LEVELS: readonly Phase[] = ['open', 'config', 'bar', 'queues'];
const LEVEL: Readonly<Partial<Record<Mark, number>>> = {
  open: 0,
  config: 1,
  access: 2,
  queues: 3,
  admin: 3,
};
/** What goes to and fro more often than this is one run. */
const RUNS_MAX = 256;
/** So few marks between two resets: a device that is waited for. */
const WAITING_MAX = 16;

export class SetUp {
  readonly #keeps: (event: number) => void;
  readonly #runs: Run[] = [];
  #level = -1;
  /** Marks of the last run. */
  #marks = 0;
  #admin: number | undefined;
  /** The first access since something was set up. */
  #quiet: number | undefined;
  #ending: number | undefined;
  resetSeen = false;

  /** `keeps` is told of each event that a stretch may begin with. */
  constructor(keeps: (event: number) => void) {
    this.#keeps = keeps;
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  mark(mark: Mark, event: number): void {
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
        this.#admin = this.#kept(this.#admin, event);
        break;
      case 'access':
        this.#quiet = this.#kept(this.#quiet, event);
        break;
      case 'ending':
        this.#ending = this.#kept(this.#ending, event);
        break;
      case 'open':
      case 'work':
        break;
    }
    this.#run(this.#phase(mark), event);
  }

  #kept(before: number | undefined, event: number): number {
    if (before !== undefined) return before;
    this.#keeps(event);
    return event;
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

  #run(phase: Phase, from: number): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && (last.phase === phase || this.#runs.length >= RUNS_MAX)) this.#marks++;
    else if (phase === 'reset' && this.#runs.at(-2)?.phase === 'reset' && this.#marks < WAITING_MAX)
      this.#runs.pop();
    else {
      this.#keeps(from);
      this.#runs.push({ phase, from });
      this.#marks = 1;
    }
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
    let runs: readonly Run[] = this.#runs;
    if (work !== undefined && (ending === undefined || work < ending)) runs = cut(runs, 'steady', work);
    return ending === undefined ? runs : cut(runs, 'teardown', ending);
  }
}

/** From there on it is all one phase. */
function cut(runs: readonly Run[], phase: Phase, from: number): readonly Run[] {
  return [...runs.filter((run) => run.from < from), { phase, from }];
}
