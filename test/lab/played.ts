// SPDX-License-Identifier: Apache-2.0
/**
 * A recording of a real kernel, with what was in DMA memory, is played to the same program on this machine, which has neither
 * the device nor VFIO; and to one that does something else.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import type { Driver } from './drivers.js';
import { fileName } from './guest-script.js';
import { firstDifference } from './same-output.js';

const LIMIT_MS = 120_000;

interface Played {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

function play(trace: string, command: readonly string[]): Played {
  const build = join(packageRoot(), 'build');
  const words = [join(packageRoot(), 'dist/cli/main.js'), 'play', trace, '--'];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...words, ...command.map((word) => word.replace('$build', build))],
    { encoding: 'utf8', timeout: LIMIT_MS, killSignal: 'SIGKILL' },
  );
  return { status, out: stdout, err: stderr };
}

interface Check {
  readonly name: string;
  /** Empty: it holds. */
  readonly trouble: string;
}

export function playedChecks(driver: Driver, directory: string, printed: string): readonly Check[] {
  if (driver.played === undefined) return [];
  const trace = join(directory, `${fileName(driver, 'recorded')}.vtape`);
  const same = play(trace, driver.command);
  const volatile = [...driver.volatile, ...(driver.played.volatile ?? [])];
  const difference = firstDifference({ ...driver, volatile }, printed, same.out);
  const trouble =
    same.status !== driver.status || !same.err.includes(', no departure\n')
      ? `exit status ${same.status ?? 'none'}\n${same.err}`
      : (difference ?? '');
  const checks = [
    { name: 'prints the same when its recording is played to it, without its device', trouble },
  ];
  const { changed } = driver.played;
  if (changed !== undefined) {
    const { status, err } = play(trace, changed.command);
    const isStopped = status === 1 && changed.expect.test(err);
    checks.push({
      name: 'is stopped at the command that the device finds, when it asks for something else',
      trouble: isStopped ? '' : `exit status ${status ?? 'none'}\n${err}`,
    });
  }
  return checks;
}
