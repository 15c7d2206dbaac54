// SPDX-License-Identifier: Apache-2.0
import { lstatSync, readdirSync, readFileSync, readlinkSync, statfsSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'device' | 'other';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Filesystem {
  readonly inMemory: boolean;
  readonly freeBytes: number;
}

/** All that the doctor may ask of a machine; a test answers from a file, so that every shape of machine is data. */
export interface Machine {
  readonly uid: number;
  readonly gids: readonly number[];
  readonly user: string;
  readonly path: string;
  /** Trimmed content; undefined when it can't be read. */
  read(path: string): string | undefined;
  /** Names, sorted by number where they have one; empty when there is no such directory. */
  list(path: string): readonly string[];
  /** Last part of a symbolic link's target. */
  link(path: string): string | undefined;
  status(path: string): FileStatus | undefined;
  filesystem(path: string): Filesystem | undefined;
}

/** linux/magic.h TMPFS_MAGIC, RAMFS_MAGIC. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

export const byNumber = new Intl.Collator('en', { numeric: true }).compare;

/** A machine under a directory: `/` is this one. */
export function machineAt(root: string, user: string): Machine {
  const attempt = <T>(ask: () => T): T | undefined => {
    try {
      return ask();
    } catch {
      return undefined; // no such file, or not ours to read: both are answers
    }
  };
  return {
    uid: process.geteuid?.() ?? -1,
    gids: [...(process.getgroups?.() ?? []), process.getegid?.() ?? -1],
    user,
    path: process.env['PATH'] ?? '',
    read: (path) => attempt(() => readFileSync(join(root, path), 'utf8').replace(/[\0\s]+$/, '')),
    list: (path) => attempt(() => readdirSync(join(root, path)).sort(byNumber)) ?? [],
    link: (path) => attempt(() => basename(readlinkSync(join(root, path)))),
    status: (path) =>
      attempt(() => {
        const status = lstatSync(join(root, path));
        const kind = status.isFile()
          ? 'file'
          : status.isDirectory()
            ? 'directory'
            : status.isCharacterDevice()
              ? 'device'
              : 'other';
        return { kind, mode: status.mode & 0o7777, uid: status.uid, gid: status.gid };
      }),
    filesystem: (path) =>
      attempt(() => {
        const { type, bavail, bsize } = statfsSync(join(root, path));
        return { inMemory: IN_MEMORY.has(type), freeBytes: bavail * bsize };
      }),
  };
}

export function exists(machine: Machine, path: string): boolean {
  return machine.status(path) !== undefined;
}

export function findCommand(machine: Machine, names: readonly string[]): string | undefined {
  const directories = machine.path.split(':').filter((directory) => directory !== '');
  return names.find((name) => directories.some((directory) => exists(machine, join(directory, name))));
}

/** Whether this user may open the node for reading and writing, by its mode bits; root may. */
export function mayOpen(machine: Machine, status: FileStatus): boolean {
  if (machine.uid === 0) return true;
  const shift = status.uid === machine.uid ? 6 : machine.gids.includes(status.gid) ? 3 : 0;
  return ((status.mode >> shift) & 0o6) === 0o6;
}

/** A bit of the effective capabilities, linux/capability.h. */
export function hasCapability(machine: Machine, bit: number): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(machine.read('/proc/self/status') ?? '')?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(bit)) & 1n) === 1n;
}

export const CAP_IPC_LOCK = 14;
export const CAP_SYS_PTRACE = 19;
