// SPDX-License-Identifier: Apache-2.0
import type { InferredOptionTypes, Options } from 'yargs';

/**
 * What a verb's module exports as `verb`. Options that take a value demand it; one that is not an array may be given
 * once; a number is a number: main.ts sees to all of that, so that `run` gets what its types say.
 */
export interface Verb<O extends Readonly<Record<string, Options>> = Readonly<Record<string, Options>>> {
  /** What follows `vfiotape` in the synopsis: `dump [--filter EXPR] TRACE`. */
  readonly usage: string;
  readonly summary: string;
  readonly options: O;
  /**
   * The words that are not options. `command`: the first of them and all that follows are somebody else's command
   * line and reach `run` untouched.
   */
  readonly operands: { readonly least: number; readonly most: number } | 'command';
  /** Shown below the options in `--help`. */
  readonly epilogue?: string;
  readonly examples?: readonly (readonly [command: string, explanation: string])[];
  /** The answer is the exit status. */
  run(args: VerbArguments<O>): Promise<number>;
}

export type VerbArguments<O extends Readonly<Record<string, Options>>> = InferredOptionTypes<O> & {
  readonly operands: readonly string[];
};

/** Only so that the types of `options` reach `run`. */
export function defineVerb<const O extends Readonly<Record<string, Options>>>(verb: Verb<O>): Verb<O> {
  return verb;
}
