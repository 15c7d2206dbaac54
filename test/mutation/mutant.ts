// SPDX-License-Identifier: Apache-2.0
/** A clean session with one mistake in it, and the rule that is meant for the mistake. */
import { before, CLEAN, type Context, type Step } from './clean-session.js';

export interface Mutant {
  readonly what: string;
  readonly rule: string;
  /** Rules whose matter is another aspect of the same mistake. */
  readonly also: readonly string[];
  readonly steps: readonly Step[];
}

export const mutant = (
  rule: string,
  what: string,
  steps: readonly Step[],
  also: readonly string[] = [],
): Mutant => ({ rule, what, steps, also });

/** Put in at the beginning, in the middle and at the end of the session's work. */
export const anywhere = (
  rule: string,
  what: string,
  run: (context: Context) => void,
  also: readonly string[] = [],
  steps = CLEAN,
): readonly Mutant[] =>
  ['work 1', 'work 2', 'stop'].map((name) =>
    mutant(rule, `${what}, before ${name}`, before(name, run, steps), also),
  );
