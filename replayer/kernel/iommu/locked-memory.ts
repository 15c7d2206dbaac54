// SPDX-License-Identifier: Apache-2.0
/** RLIMIT_MEMLOCK: pages that DMA mappings pin count against it (account_locked_vm, vfio_lock_acct). */
import type { Process } from '../process.js';

export const PAGE = 4096n;

export class LockedMemory {
  readonly #pages = new WeakMap<Process, bigint>();

  /** mm->locked_vm */
  of(process: Process): bigint {
    return this.#pages.get(process) ?? 0n;
  }

  /** False when the limit would be passed; nothing is counted then. */
  add(process: Process, pages: bigint, unlimited: boolean): boolean {
    const after = this.of(process) + pages;
    if (!unlimited && after > process.memlock / PAGE) return false;
    this.#pages.set(process, after);
    return true;
  }

  remove(process: Process, pages: bigint): void {
    const after = this.of(process) - pages;
    this.#pages.set(process, after < 0n ? 0n : after);
  }
}

export function pageCount(size: bigint): bigint {
  return (size + PAGE - 1n) / PAGE;
}
