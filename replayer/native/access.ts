// SPDX-License-Identifier: Apache-2.0
/** Accesses to mapped registers, and waiting for a moment (access.c). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../abi/package-root.js';
import { UserError } from '../../abi/user-error.js';
import { koffi } from './koffi.js';

export type AccessWidth = 1 | 2 | 4 | 8;

/** enum access_kind */
const KINDS = {
  load: 0,
  store: 1,
  exchange: 2,
  'compare-exchange': 3,
  add: 4,
  and: 5,
  or: 6,
  xor: 7,
  negate: 8,
  /** movdir64b: 64 bytes in one write, whatever the processor. */
  'store-line': 9,
} as const;
export type AccessKind = keyof typeof KINDS;
/** One locked instruction. */
export type LockedKind = Exclude<AccessKind, 'load' | 'store' | 'store-line'>;

const WIDEST = 64;
/** In `data` of a compare-exchange. */
const EXPECTED = 8;

export class NativeAccess {
  readonly #words = new BigUint64Array(new ArrayBuffer(WIDEST));
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #can: (kind: number, width: number) => number;
  readonly #access: (address: bigint, kind: number, width: number, data: Uint8Array) => number;
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
    this.#can = library.func('int vfiotape_can(uint kind, uint width)');
    this.#access = library.func('int vfiotape_access(uint64_t address, uint kind, uint width, void *data)');
    this.#store = library.func('int vfiotape_store(uint64_t address, uint width, uint64_t value)');
    this.#waitUntil = library.func('int64_t vfiotape_wait_until(int64_t due)');
    const started = library.func('int vfiotape_start()')() as number;
    if (started !== 0) throw new Error(`sigaction: errno ${-started}`);
  }

  /** Whether this processor has one instruction for it; `width` in bytes. */
  can(kind: AccessKind, width: number): boolean {
    return this.#can(KINDS[kind], width) === 0;
  }

  /** One load; undefined when the device does not answer (SIGBUS). */
  load(address: bigint, width: AccessWidth): bigint | undefined {
    this.#words[0] = 0n;
    return this.#access(address, KINDS.load, width, this.#bytes) === 0 ? this.#words[0] : undefined;
  }

  /** One store; false when the device does not answer. */
  store(address: bigint, width: AccessWidth, value: bigint): boolean {
    return this.#store(address, width, value) === 0;
  }

  /** One load as wide as `into`, which can() must allow; false when the device does not answer. */
  loadBytes(address: bigint, into: Uint8Array): boolean {
    return this.#access(address, KINDS.load, into.length, into) === 0;
  }

  /** One store as wide as `from`, which can() must allow; false when the device does not answer. */
  storeBytes(address: bigint, from: Uint8Array, kind: 'store' | 'store-line'): boolean {
    return this.#access(address, KINDS[kind], from.length, from) === 0;
  }

  /**
   * One locked instruction. The value that was there before (of and, or, xor and negate it is not told: null);
   * undefined when the device does not answer. `expected`: a compare-exchange's.
   */
  update(
    address: bigint,
    width: AccessWidth,
    kind: LockedKind,
    operand: bigint,
    expected: bigint,
  ): bigint | null | undefined {
    this.#words[0] = operand;
    this.#words[EXPECTED / 8] = expected;
    if (this.#access(address, KINDS[kind], width, this.#bytes) !== 0) return undefined;
    if (kind !== 'exchange' && kind !== 'compare-exchange' && kind !== 'add') return null;
    return BigInt.asUintN(8 * width, this.#words[0]);
  }

  /** Sleeps, then spins, until `due` (process.hrtime's clock, ns). How late it is, ns; negative: a signal came before. */
  waitUntil(due: bigint): number {
    return Number(this.#waitUntil(due));
  }
}
