// SPDX-License-Identifier: Apache-2.0
/** Flags of open(2), eventfd(2) and close_range(2) on x86-64 (asm-generic/fcntl.h). */
import { flagNames, flagTable } from '../names.js';

const access = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'] as const;

// O_SYNC and O_TMPFILE contain O_DSYNC and O_DIRECTORY: the larger ones come first.
export const OPEN_FLAGS = flagTable('', {
  O_SYNC: 0x101000,
  O_TMPFILE: 0x410000,
  O_CREAT: 0x40,
  O_EXCL: 0x80,
  O_NOCTTY: 0x100,
  O_TRUNC: 0x200,
  O_APPEND: 0x400,
  O_NONBLOCK: 0x800,
  O_DSYNC: 0x1000,
  O_ASYNC: 0x2000,
  O_DIRECT: 0x4000,
  O_LARGEFILE: 0x8000,
  O_DIRECTORY: 0x10000,
  O_NOFOLLOW: 0x20000,
  O_NOATIME: 0x40000,
  O_CLOEXEC: 0x80000,
  O_PATH: 0x200000,
});

export function openFlags(flags: number): string {
  const rest = (flags & ~3) >>> 0;
  const mode = access[flags & 3] as string;
  return rest === 0 ? mode : `${mode}|${flagNames(OPEN_FLAGS, rest)}`;
}

export const EVENTFD_FLAGS = flagTable('EFD_', { SEMAPHORE: 1, CLOEXEC: 0x80000, NONBLOCK: 0x800 });

export const WHENCE = ['SEEK_SET', 'SEEK_CUR', 'SEEK_END', 'SEEK_DATA', 'SEEK_HOLE'] as const;
