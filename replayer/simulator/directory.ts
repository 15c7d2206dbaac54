// SPDX-License-Identifier: Apache-2.0
/** The directory of a simulated machine, and those that machines which were killed have left behind. */
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import { SIM_DIRECTORY_MAX } from '../../abi/wire/sim.js';

const PREFIX = 'vfiotape-sim-';
const OWNER = 'owner';

export function makeDirectory(places: readonly string[] = ['/dev/shm', tmpdir(), '/tmp']): string {
  for (const place of places) {
    try {
      const directory = mkdtempSync(join(place, PREFIX));
      if (directory.length > SIM_DIRECTORY_MAX) {
        rmSync(directory, { recursive: true });
        continue;
      }
      chmodSync(directory, 0o700);
      writeFileSync(join(directory, OWNER), identity(process.pid));
      removeAbandoned(place);
      return directory;
    } catch {
      // Not there, or not ours to write.
    }
  }
  throw new UserError(
    `--sim: nowhere to keep the simulated machine: none of ${places.join(', ')} can be written`,
  );
}

/** Of a process, for ever: its namespace, its number, and when it was started (proc(5), the 22nd field of stat). */
function identity(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return `${readlinkSync('/proc/self/ns/pid')} ${pid} ${started}`;
}

function removeAbandoned(place: string): void {
  for (const name of readdirSync(place).filter((one) => one.startsWith(PREFIX))) {
    try {
      if (isAbandoned(join(place, name))) rmSync(join(place, name), { recursive: true });
    } catch {
      // Another user's, or gone meanwhile.
    }
  }
}

/** False where it can't be told: the owner may be in another namespace, or about to say who it is. */
function isAbandoned(directory: string): boolean {
  const owner = readFileSync(join(directory, OWNER), 'latin1');
  const [namespace, pid = ''] = owner.split(' ');
  if (namespace !== readlinkSync('/proc/self/ns/pid') || !/^\d+$/.test(pid)) return false;
  try {
    return identity(Number(pid)) !== owner;
  } catch {
    return true;
  }
}
