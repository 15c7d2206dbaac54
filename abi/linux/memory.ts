// SPDX-License-Identifier: Apache-2.0
/** Protection, mapping and advice of mmap(2) and its family on x86-64 (asm-generic/mman.h, asm/mman.h). */
import { flagNames, flagTable, nameOrNumber, valueTable } from '../names.js';

export const PROTECTION = flagTable('PROT_', {
  READ: 1,
  WRITE: 2,
  EXEC: 4,
  SEM: 8,
  GROWSDOWN: 0x01000000,
  GROWSUP: 0x02000000,
});

export const MAP_FLAGS = flagTable('MAP_', {
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  '32BIT': 0x40,
  GROWSDOWN: 0x100,
  DENYWRITE: 0x800,
  EXECUTABLE: 0x1000,
  LOCKED: 0x2000,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
  NONBLOCK: 0x10000,
  STACK: 0x20000,
  HUGETLB: 0x40000,
  SYNC: 0x80000,
  FIXED_NOREPLACE: 0x100000,
});

const mapTypes = ['', 'SHARED', 'PRIVATE', 'SHARED_VALIDATE'] as const;

export function protection(prot: number): string {
  return prot === 0 ? 'NONE' : flagNames(PROTECTION, prot);
}

export function mapFlags(flags: number): string {
  const type = flags & 0xf;
  const name = mapTypes[type] ?? `type${type}`;
  const rest = (flags & ~0xf) >>> 0;
  if (rest === 0) return name === '' ? '0' : name;
  return name === '' ? flagNames(MAP_FLAGS, rest) : `${name}|${flagNames(MAP_FLAGS, rest)}`;
}

export const MREMAP_FLAGS = flagTable('MREMAP_', { MAYMOVE: 1, FIXED: 2, DONTUNMAP: 4 });

const ADVICE = valueTable('MADV_', {
  NORMAL: 0,
  RANDOM: 1,
  SEQUENTIAL: 2,
  WILLNEED: 3,
  DONTNEED: 4,
  FREE: 8,
  REMOVE: 9,
  DONTFORK: 10,
  DOFORK: 11,
  MERGEABLE: 12,
  UNMERGEABLE: 13,
  HUGEPAGE: 14,
  NOHUGEPAGE: 15,
  DONTDUMP: 16,
  DODUMP: 17,
  WIPEONFORK: 18,
  KEEPONFORK: 19,
  COLD: 20,
  PAGEOUT: 21,
  POPULATE_READ: 22,
  POPULATE_WRITE: 23,
  DONTNEED_LOCKED: 24,
  COLLAPSE: 25,
  HWPOISON: 100,
  SOFT_OFFLINE: 101,
});

export function advice(number: number): string {
  return nameOrNumber(ADVICE, number);
}

export { ADVICE };
