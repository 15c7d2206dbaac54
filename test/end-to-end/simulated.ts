// SPDX-License-Identifier: Apache-2.0
/** What tests of drivers on a simulated machine share. */
import { execFileSync, type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { compileC, EXAMPLE_VFIO } from '../compile.js';
import { command, givesUpRights, type Outcome, root, run, scratchDirectory } from './harness.js';

/** Where a simulated machine's first device is. */
export const BDF = '0000:00:04.0';
export const NAMESPACE = `nvme://${BDF}/1`;

/** For `test`: no driver of ours takes a minute on a simulated device, however busy the machine. */
export const LIMIT = { timeout: 180_000 } as const;

const NOBODY = 65534;

/** A scratch directory that every user may read and write. */
export function sharedScratch(): string {
  const scratch = scratchDirectory();
  chmodSync(scratch, 0o777);
  return scratch;
}

/** Builds a driver of examples/ into a directory of the caller's. */
export function buildExample(name: string, out: string): string {
  execFileSync('make', ['-s', '-C', join(root, 'examples', name), `OUT=${out}`]);
  return join(out, name);
}

/** Compiles test/end-to-end/drivers/simulated.c, which does its VFIO calls by examples/nvme/vfio.c. */
export function buildSimulated(out: string): string {
  const program = join(out, 'simulated');
  compileC(program, ['test/end-to-end/drivers/simulated.c', ...EXAMPLE_VFIO], ['-O1']);
  return program;
}

/** Why a test of this program can't be run here, for `skip`. */
export function missing(program: string, option = '--version'): string | false {
  return spawnSync(program, [option], { stdio: 'ignore' }).error === undefined
    ? false
    : `${program} is not installed`;
}

/** Why `asUser` is no ordinary user, for `skip`; false where it is one. */
export const noOrdinaryUser: string | false =
  process.geteuid?.() !== 0 || givesUpRights ? false : 'no other user than root can read the project';

/**
 * A command line of vfiotape as an ordinary user, in no group and without capabilities: setpriv(1)'s --reuid, --regid and
 * --clear-groups where this test can give up root's rights, else as this test's own user.
 */
export function asUser(args: readonly string[], options: SpawnSyncOptions = {}): Outcome {
  return run(process.execPath, [command, ...args], {
    ...options,
    ...(givesUpRights ? { uid: NOBODY, gid: NOBODY } : {}),
  });
}
