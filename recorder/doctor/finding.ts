// SPDX-License-Identifier: Apache-2.0

/** `problem`: a driver cannot be recorded before it is mended; `warn`: it can, with the limit that is told. */
export type Level = 'ok' | 'warn' | 'problem';

export interface Finding {
  /** Stable: what was looked at. */
  readonly id: string;
  readonly level: Level;
  readonly message: string;
  /** Commands, to be run as root, that mend it; a line that is no command begins with `#`. */
  readonly remedy: readonly string[];
}

export function ok(id: string, message: string): Finding {
  return { id, level: 'ok', message, remedy: [] };
}

export function warn(id: string, message: string, ...remedy: readonly string[]): Finding {
  return { id, level: 'warn', message, remedy };
}

export function problem(id: string, message: string, ...remedy: readonly string[]): Finding {
  return { id, level: 'problem', message, remedy };
}
