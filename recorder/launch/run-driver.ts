// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { UserError } from '../../abi/user-error.js';
import { findDriver } from './inspect.js';
import { relaySignals } from './signals.js';
import { shimLibrary, startDriver } from './spawn.js';

export interface RunOptions {
  readonly command: readonly string[];
  /** A directory of this run's own. */
  readonly directory: string;
  /** What tells the shim its work. */
  readonly environment: Readonly<Record<string, string>>;
  /** When it is settled the driver is killed. */
  readonly until?: Promise<void>;
}

/** Runs a driver with the shim in it, not recorded: its exit status, or 128 + its signal. */
export async function runDriver({ command, directory, environment, until }: RunOptions): Promise<number> {
  const [name] = command;
  if (name === undefined) throw new UserError('run: name the driver to run');
  const file = findDriver(name);
  let child: ChildProcess | undefined;
  const relay = relaySignals(() => child);
  try {
    const started = await startDriver({ file, command, library: shimLibrary(), directory, environment });
    child = started;
    void until?.then(() => started.kill('SIGKILL'));
    return await new Promise((resolve) => {
      started.once('exit', (status, signal) =>
        resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])),
      );
    });
  } finally {
    relay.close();
  }
}
