// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { UserError } from '../../abi/user-error.js';
import { machineAt } from '../doctor/machine.js';
import { findZydis } from '../doctor/tools.js';

/** The shim as it is built; refuses when it isn't. */
export function shimLibrary(): string {
  const library = join(packageRoot(), 'build', 'libvfiotape.so');
  if (!existsSync(library))
    throw new UserError(
      `the shim is not built: ${library} is missing; build it: make -C ${join(packageRoot(), 'recorder/shim')}`,
    );
  return library;
}

/** LD_PRELOAD separates by spaces and colons and knows no quoting. */
function preloadable(library: string, directory: string): string {
  if (!/[\s:]/.test(library)) return library;
  const link = join(directory, 'libvfiotape.so');
  symlinkSync(library, link);
  return link;
}

/**
 * Descriptors beyond stdio that were handed to this process and are the driver's to have (`qemu -add-fd`). Node marks
 * them close-on-exec at its start and opens some of its own: epoll, eventfd, io_uring, and pipes to itself.
 */
function inheritedDescriptors(): readonly number[] {
  const links = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      links.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // The descriptor of this very listing.
    }
  }
  const uses = new Map<string, number>();
  for (const link of links.values()) uses.set(link, (uses.get(link) ?? 0) + 1);
  return [...links]
    .filter(([fd, link]) => {
      if (fd < 3 || /^anon_inode:\[(eventpoll|eventfd|io_uring|timerfd|signalfd)\]$/.test(link)) return false;
      if (link.startsWith('pipe:') && (uses.get(link) ?? 0) > 1) return false;
      // Node's spare descriptor, in case it runs out of them.
      return link !== '/dev/null';
    })
    .map(([fd]) => fd);
}

/** Taken at start, before anything of ours is open. */
export const handedDown: readonly number[] = inheritedDescriptors();

export interface DriverStart {
  readonly file: string;
  /** As it was typed; its first word is the driver's argv[0]. */
  readonly command: readonly string[];
  readonly library: string;
  /** A directory of this run's own. */
  readonly directory: string;
  /** What tells the shim its work, on top of the caller's environment. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Starts the driver as the user's shell would, with the shim in it. */
export function startDriver(start: DriverStart): Promise<ChildProcess> {
  const { file, command, library, directory, environment } = start;
  const [name = file, ...args] = command;
  const before = process.env['LD_PRELOAD'];
  const shim = preloadable(library, directory);
  const highest = Math.max(2, ...handedDown);
  const stdio: ('inherit' | 'ignore' | number)[] = ['inherit', 'inherit', 'inherit'];
  // A number that is ignored beyond stdio stays closed in the child.
  for (let fd = 3; fd <= highest; fd++) stdio.push(handedDown.includes(fd) ? fd : 'ignore');
  const child = spawn(file, args, {
    argv0: name,
    stdio,
    env: {
      ...process.env,
      LD_PRELOAD: before === undefined || before === '' ? shim : `${shim}:${before}`,
      ...environment,
    },
  });
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child));
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(new UserError(`cannot start ${file}: ${error.message}`));
    });
  });
}

const AT_SECURE = 23n;

/** True when the kernel gave this process privileges that its user lacks: file capabilities, mostly. */
function gainedPrivileges(pid: number): boolean {
  try {
    const auxv = readFileSync(`/proc/${pid}/auxv`);
    for (let at = 0; at + 16 <= auxv.length; at += 16) {
      if (auxv.readBigUInt64LE(at) === AT_SECURE) return auxv.readBigUInt64LE(at + 8) !== 0n;
    }
  } catch (error) {
    // A process that gained privileges hides its /proc files from others (PR_SET_DUMPABLE).
    return (
      (error as NodeJS.ErrnoException).code === 'EACCES' || (error as NodeJS.ErrnoException).code === 'EPERM'
    );
  }
  return false;
}

/** Why the shim will not come up in this process; undefined while it still may. */
export function whyNotAttached(pid: number, file: string): string | undefined {
  if (gainedPrivileges(pid)) {
    return `${file} gains privileges when it starts (file capabilities): the loader keeps the recorder out of it; run vfiotape itself with those rights, on a copy without them`;
  }
  let maps: string;
  try {
    maps = readFileSync(`/proc/${pid}/maps`, 'latin1');
  } catch {
    return undefined;
  }
  // The loader maps preloaded libraries before those that the program itself needs.
  if (/\/libc\.so\.6\n|\/libc-[\d.]+\.so\n/.test(maps) && !maps.includes('libvfiotape')) {
    return `the loader did not take the recorder into ${file}; what it said is above`;
  }
  return undefined;
}

/** Why loads and stores to mapped registers can't be recorded here, and what to do; undefined when they can. */
export function whyNoMmio(): string | undefined {
  // The mark of the part that watches them: it is left out where Zydis' headers were missing.
  if (!readFileSync(shimLibrary()).includes('vfiotape: mmio watcher')) {
    return `the shim was built without Zydis; apt-get install libzydis-dev && make -B -C ${join(packageRoot(), 'recorder/shim')}`;
  }
  if (findZydis(machineAt('/', '')) === undefined) {
    return 'libZydis, which decodes them, is not installed; apt-get install libzydis4.0';
  }
  return undefined;
}
