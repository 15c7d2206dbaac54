// SPDX-License-Identifier: Apache-2.0
/** Loads and stores of mapped registers, and waiting for a moment (access.c). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { UserError } from '../../abi/user-error.js';
import { koffi } from './koffi.js';

export type AccessWidth = 1 | 2 | 4 | 8;

export class NativeAccess {
  readonly #value = new BigUint64Array(new ArrayBuffer(8));
  readonly #bytes = new Uint8Array(this.#value.buffer);
  readonly #load: (address: bigint, width: number, value: Uint8Array) => number;
  readonly #store: (address: bigint, width: number, value: bigint) => number;
  readonly #waitUntil: (due: bigint) => number | bigint;

  /** Throws UserError where the library was not built. */
  constructor() {
    const path = join(packageRoot(), 'build/libvfiotape-access.so');
    if (!existsSync(path))
      throw new UserError(
        `${path} is not there; build it: make -C ${join(packageRoot(), 'replayer/native')}`,
      );
    const library = koffi().load(path);
    this.#load = library.func('int vfiotape_load(uint64_t address, uint width, void *value)');
    this.#store = library.func('int vfiotape_store(uint64_t address, uint width, uint64_t value)');
    this.#waitUntil = library.func('int64_t vfiotape_wait_until(int64_t due)');
    const started = library.func('int vfiotape_start()')() as number;
    if (started !== 0) throw new Error(`sigaction: errno ${-started}`);
  }

  /** One load; undefined when the device does not answer (SIGBUS). */
  load(address: bigint, width: AccessWidth): bigint | undefined {
    return this.#load(address, width, this.#bytes) === 0 ? this.#value[0] : undefined;
  }

  /** One store; false when the device does not answer. */
  store(address: bigint, width: AccessWidth, value: bigint): boolean {
    return this.#store(address, width, value) === 0;
  }

  /** Sleeps, then spins, until `due` (process.hrtime's clock, ns). How late it is, ns; negative: a signal came before. */
  waitUntil(due: bigint): number {
    return Number(this.#waitUntil(due));
  }
}
