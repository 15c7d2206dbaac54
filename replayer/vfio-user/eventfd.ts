// SPDX-License-Identifier: Apache-2.0
/** An eventfd that came over the socket. */
import { closeSync, readlinkSync, writeSync } from 'node:fs';
import type { Eventfd } from '../kernel/process.js';

const ONE = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

/** eventfd_ctx_fdget() takes nothing else: who writes to a pipe may wait. */
export function isEventfdDescriptor(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
  } catch {
    return false;
  }
}

export class PassedEventfd implements Eventfd {
  readonly #watchers = new Set<() => void>();
  #open = true;

  constructor(readonly fd: number) {}

  signal(): void {
    if (!this.#open) return;
    try {
      writeSync(this.fd, ONE);
    } catch {
      // EAGAIN of one that is not read any more: the counter is full, which says as much.
    }
  }

  watch(callback: () => void): () => void {
    this.#watchers.add(callback);
    return () => this.#watchers.delete(callback);
  }

  get isWatched(): boolean {
    return this.#open && this.#watchers.size > 0;
  }

  /** The client wrote to it, and the count has been taken. */
  fired(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  close(): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }
}
