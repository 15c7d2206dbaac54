// SPDX-License-Identifier: Apache-2.0
/**
 * A driver's memory by way of /proc/PID/mem, which needs no native code and works where seccomp refuses
 * process_vm_readv. It ignores page protection (FOLL_FORCE, mm/gup.c): right for DMA, which no CPU page table stops;
 * what copies for the caller looks at /proc/PID/maps first.
 */
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import type { Memory } from '../kernel/process.js';
import type { Copy } from './frames.js';

const AREA = /^([0-9a-f]+)-([0-9a-f]+) ([-r][-w][-x][ps]) /;
const LINE = /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])/;

interface Area {
  readonly from: bigint;
  readonly to: bigint;
  /** As `rw-p`. */
  readonly permissions: string;
  readonly flags: readonly string[];
}

export class ProcessMemory implements Memory {
  readonly #fd: number;
  #closed = false;

  /** Throws what open(2) says when this process may not look into that one. */
  constructor(readonly pid: number) {
    this.#fd = openSync(`/proc/${pid}/mem`, 'r+');
  }

  read(address: bigint, into: Uint8Array): boolean {
    return this.#whole(into.length, (done) =>
      readSync(this.#fd, into, done, into.length - done, (address + BigInt(done)) as never),
    );
  }

  write(address: bigint, from: Uint8Array): boolean {
    return this.#whole(from.length, (done) =>
      // Node's types know no bigint position here, and addresses of processes are below 2^47.
      writeSync(this.#fd, from, done, from.length - done, Number(address) + done),
    );
  }

  /** Whether every page of the range may be read, or written, by the process itself. */
  permits(address: bigint, length: bigint, write: boolean): boolean {
    let maps: string;
    try {
      maps = readFileSync(`/proc/${this.pid}/maps`, 'latin1');
    } catch {
      return false;
    }
    const end = address + length;
    let reached = address;
    let at = 0;
    while (reached < end && at < maps.length) {
      const newline = maps.indexOf('\n', at);
      const found = LINE.exec(maps.slice(at, newline < 0 ? undefined : newline));
      at = newline < 0 ? maps.length : newline + 1;
      if (found === null) continue;
      const from = BigInt(`0x${found[1]}`);
      const to = BigInt(`0x${found[2]}`);
      if (to <= reached) continue;
      if (from > reached || found[3] !== 'r' || (write && found[4] !== 'w')) return false;
      reached = to;
    }
    return reached >= end;
  }

  /** Whether mprotect to `protection` (PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4) is one for any page of the range. */
  protectionChanges(start: bigint, end: bigint, protection: number): boolean {
    const wanted = ['r', 'w', 'x'].map((letter, bit) => ((protection >> bit) & 1 ? letter : '-')).join('');
    return this.#areas('maps').some(
      ({ from, to, permissions }) => from < end && to > start && permissions.slice(0, 3) !== wanted,
    );
  }

  /**
   * Ranges whose pages fork(2) shares with the child until one of them writes: private memory, but for what is not copied
   * (MADV_DONTFORK) and huge pages of hugetlbfs (copy_page_range).
   */
  copiedOnFork(): readonly { readonly from: bigint; readonly to: bigint }[] {
    return this.#areas('smaps').filter(
      ({ permissions, flags }) => permissions[3] === 'p' && !flags.includes('dc') && !flags.includes('ht'),
    );
  }

  /** The lines of /proc/PID/maps; of smaps with their VmFlags. */
  #areas(file: 'maps' | 'smaps'): readonly Area[] {
    let text: string;
    try {
      text = readFileSync(`/proc/${this.pid}/${file}`, 'latin1');
    } catch {
      return [];
    }
    const areas: { from: bigint; to: bigint; permissions: string; flags: readonly string[] }[] = [];
    for (const line of text.split('\n')) {
      const area = AREA.exec(line);
      const last = areas.at(-1);
      if (area !== null) {
        const [, from, to, permissions = ''] = area;
        areas.push({ from: BigInt(`0x${from}`), to: BigInt(`0x${to}`), permissions, flags: [] });
      } else if (last !== undefined && line.startsWith('VmFlags:')) last.flags = line.split(/\s+/).slice(1);
    }
    return areas;
  }

  /** Afterwards nothing is there any more: mappings of the process may outlive it in the simulated kernel. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  #whole(length: number, step: (done: number) => number): boolean {
    if (this.#closed) return false;
    let done = 0;
    try {
      while (done < length) {
        const more = step(done);
        if (more === 0) return false;
        done += more;
      }
    } catch {
      return false;
    }
    return true;
  }
}

/**
 * The caller's memory during one ioctl: its argument came with the request, and what is written goes back with the
 * reply, where the shim finds out whether it can be.
 */
export class CallMemory implements Memory {
  readonly copies: Copy[] = [];
  readonly #bytes: Uint8Array;

  constructor(
    readonly memory: ProcessMemory,
    readonly argument: bigint,
    bytes: Uint8Array,
  ) {
    this.#bytes = Uint8Array.from(bytes);
  }

  read(address: bigint, into: Uint8Array): boolean {
    const at = address - this.argument;
    if (at >= 0n && at + BigInt(into.length) <= BigInt(this.#bytes.length)) {
      into.set(this.#bytes.subarray(Number(at), Number(at) + into.length));
      return true;
    }
    if (!this.memory.permits(address, BigInt(into.length), false) || !this.memory.read(address, into))
      return false;
    for (const copy of this.copies) overlay(into, address, copy);
    return true;
  }

  write(address: bigint, from: Uint8Array): boolean {
    const copy = { address, bytes: Uint8Array.from(from) };
    this.copies.push(copy);
    overlay(this.#bytes, this.argument, copy);
    return true;
  }
}

/** Puts the part of a copy that lies in `into`, which begins at `start`, there. */
function overlay(into: Uint8Array, start: bigint, { address, bytes }: Copy): void {
  const at = Number(address - start);
  if (!Number.isSafeInteger(at) || at >= into.length || at + bytes.length <= 0) return;
  const skip = Math.max(0, -at);
  into.set(bytes.subarray(skip, Math.min(bytes.length, into.length - at)), at + skip);
}
