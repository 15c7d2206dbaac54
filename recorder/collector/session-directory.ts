// SPDX-License-Identifier: Apache-2.0
import {
  accessSync,
  chmodSync,
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import type { HostDescription, RecordingModes } from '../../traces/model.js';

const PREFIX = 'vfiotape-';
/** linux/magic.h TMPFS_MAGIC, RAMFS_MAGIC. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

/** What `recover` needs to know of a recorder that is no more: beside the rings, in the session directory. */
export interface SessionNote {
  readonly version: 1;
  /** Absolute path of the trace. */
  readonly output: string;
  readonly command: readonly string[];
  readonly recorder: string;
  readonly host: HostDescription;
  readonly modes: RecordingModes;
  readonly ticksPerSecond: number;
  readonly collectorPid: number;
  /** Field 22 of /proc/PID/stat: tells a recorder that still runs from another process that got its number. */
  readonly collectorStarted: string;
}

export interface SessionPlace {
  readonly path: string;
  /** False: a file system with a disk below it; the driver's stores then wait for that disk now and then. */
  readonly inMemory: boolean;
  readonly freeBytes: number;
}

/** Where a session directory may be made, best first. */
function candidates(): string[] {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const places = ['/dev/shm'];
  if (runtime !== undefined && runtime !== '') places.push(runtime);
  places.push('/run', tmpdir());
  return [...new Set(places)];
}

/** Makes an empty directory for one session, readable by this user alone: it will hold what the driver wrote. */
export function makeSessionDirectory(places: readonly string[] = candidates()): SessionPlace {
  let failure: unknown;
  const usable: { place: string; inMemory: boolean; free: number }[] = [];
  for (const place of places) {
    try {
      accessSync(place, constants.W_OK | constants.X_OK);
      const { type, bavail, bsize } = statfsSync(place);
      usable.push({ place, inMemory: IN_MEMORY.has(type), free: bavail * bsize });
    } catch (error) {
      failure = error;
    }
  }
  // Least room: a few of the smallest rings. A full tmpfs is worse than a disk.
  const enough = usable.filter(({ free }) => free >= 4 << 20);
  const chosen = enough.find(({ inMemory }) => inMemory) ?? enough[0];
  if (chosen === undefined) {
    throw new UserError(
      usable.length > 0
        ? `no room for the session in ${usable.map(({ place }) => place).join(', ')}; free at least 4 MiB in one of them`
        : `nowhere to keep the session: ${places.join(', ')} can't be written (${failure instanceof Error ? failure.message : String(failure)})`,
    );
  }
  const path = mkdtempSync(join(chosen.place, PREFIX));
  chmodSync(path, 0o700);
  return { path, inMemory: chosen.inMemory, freeBytes: chosen.free };
}

export function removeSessionDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

const NOTE = 'session.json';

export function writeSessionNote(directory: string, note: SessionNote): void {
  writeFileSync(join(directory, NOTE), `${JSON.stringify(note, undefined, 1)}\n`, { mode: 0o600 });
}

export function readSessionNote(directory: string): SessionNote {
  let text: string;
  try {
    text = readFileSync(join(directory, NOTE), 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new UserError(
      code === 'ENOENT' || code === 'ENOTDIR'
        ? `${directory} is no session directory: it has no ${NOTE}; they are named ${PREFIX}… and lie in ${candidates().join(', ')}`
        : `${join(directory, NOTE)}: ${(error as Error).message}`,
    );
  }
  let note: Partial<SessionNote>;
  try {
    note = JSON.parse(text) as Partial<SessionNote>;
  } catch {
    throw new UserError(`${join(directory, NOTE)} is damaged: not JSON`);
  }
  if (note.version !== 1 || typeof note.output !== 'string' || typeof note.collectorPid !== 'number') {
    throw new UserError(`${join(directory, NOTE)} was written by another version of vfiotape`);
  }
  return note as SessionNote;
}

/** Field 22 (starttime) of /proc/PID/stat; undefined when there is no such process. */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie records nothing any more.
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function collectorAlive(note: SessionNote): boolean {
  return processStartTime(note.collectorPid) === note.collectorStarted;
}

/** Session directories whose recorder is dead. */
export function abandonedSessions(): string[] {
  const found: string[] = [];
  for (const place of candidates()) {
    let names: string[];
    try {
      names = readdirSync(place);
    } catch {
      continue;
    }
    for (const name of names) {
      if (!name.startsWith(PREFIX)) continue;
      try {
        const path = join(place, name);
        if (!collectorAlive(readSessionNote(path))) found.push(path);
      } catch {
        // Another user's, being made at this moment, or something else of that name.
      }
    }
  }
  return found;
}
