// SPDX-License-Identifier: Apache-2.0
/**
 * System calls by way of libc. Names are looked up in the global scope, as a program's own are: a library that is preloaded
 * (our shim: a replay can be recorded, and can run on a simulated machine) comes before libc. All calls answer as the kernel
 * does: a number, or a negative errno.
 */
import { koffi } from './koffi.js';

export type LibcFunction = (...values: readonly unknown[]) => number;

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const MAP_FAILED = 2n ** 64n - 1n;

export class Libc {
  readonly #ffi = koffi();
  readonly #library = this.#ffi.load(null);

  readonly #open = this.function('open64', 'int', ['const char *', 'int', 'int']);
  readonly #close = this.function('close', 'int', ['int']);
  readonly #ioctl = this.function('ioctl', 'int', ['int', 'ulong', 'void *']);
  readonly #ioctlValue = this.function('ioctl', 'int', ['int', 'ulong', 'uint64_t']);
  readonly #read = this.function('read', 'int64_t', ['int', 'void *', 'size_t']);
  readonly #write = this.function('write', 'int64_t', ['int', 'void *', 'size_t']);
  readonly #pread = this.function('pread64', 'int64_t', ['int', 'void *', 'size_t', 'int64_t']);
  readonly #pwrite = this.function('pwrite64', 'int64_t', ['int', 'void *', 'size_t', 'int64_t']);
  readonly #mmap = this.function('mmap64', 'uint64_t', [
    'uint64_t',
    'size_t',
    'int',
    'int',
    'int',
    'int64_t',
  ]);
  readonly #munmap = this.function('munmap', 'int', ['uint64_t', 'size_t']);
  readonly #mprotect = this.function('mprotect', 'int', ['uint64_t', 'size_t', 'int']);
  readonly #eventfd = this.function('eventfd', 'int', ['uint', 'int']);
  readonly #poll = this.function('poll', 'int', ['void *', 'ulong', 'int']);

  /** A function of libc by its C types, for calls that this class has not. */
  function(name: string, result: string, parameters: readonly string[]): LibcFunction {
    return this.#library.func(name, result, [...parameters]) as LibcFunction;
  }

  /** The same on a thread of the pool; the callback gets what it returned, without errno. */
  asynchronous(
    name: string,
    result: string,
    parameters: readonly string[],
  ): (...values: readonly unknown[]) => (done: (result: number) => void) => void {
    const { async: start } = this.#library.func(name, result, [...parameters]);
    return (...values) =>
      (done) =>
        start(...values, (error: unknown, answer: number) => {
          if (error !== null) throw error;
          done(answer);
        });
  }

  /** What a function returned, with errno, which koffi keeps from the call to here, for -1. */
  result(result: number): number {
    return result < 0 ? -this.#ffi.errno() : result;
  }

  open(path: string, flags: number): number {
    return this.result(this.#open(path, flags, 0));
  }

  close(fd: number): number {
    return this.result(this.#close(fd));
  }

  /** The argument is a structure, changed in place. */
  ioctl(fd: number, request: number, argument: Uint8Array): number {
    return this.result(this.#ioctl(fd, request, argument));
  }

  /** The argument is a number. */
  ioctlValue(fd: number, request: number, argument: bigint): number {
    return this.result(this.#ioctlValue(fd, request, argument));
  }

  read(fd: number, into: Uint8Array): number {
    return this.result(this.#read(fd, into, into.length));
  }

  write(fd: number, from: Uint8Array): number {
    return this.result(this.#write(fd, from, from.length));
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.result(this.#pread(fd, into, into.length, offset));
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return this.result(this.#pwrite(fd, from, from.length, offset));
  }

  /** A shared mapping of a file. The address, or a negative errno. */
  mmap(fd: number, offset: bigint, length: bigint, writable: boolean): bigint {
    return this.#mapped(length, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, offset);
  }

  /** Pages of this process, all zeroes. The address, or a negative errno. */
  allocate(length: bigint): bigint {
    return this.#mapped(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  }

  /** The same, with a part behind it that nobody may touch; munmap takes both. */
  allocateGuarded(length: bigint, guard: bigint): bigint {
    const address = this.allocate(length + guard);
    if (address >= 0n) this.result(this.#mprotect(address + length, guard, 0));
    return address;
  }

  #mapped(length: bigint, protection: number, flags: number, fd: number, offset: bigint): bigint {
    const address = BigInt(this.#mmap(0n, length, protection, flags, fd, offset));
    return address === MAP_FAILED ? BigInt(-this.#ffi.errno()) : address;
  }

  munmap(address: bigint, length: bigint): number {
    return this.result(this.#munmap(address, length));
  }

  eventfd(initial: number, flags: number): number {
    return this.result(this.#eventfd(initial, flags));
  }

  /** Whether there is something to read within so many milliseconds; -1 waits for ever. A negative errno. */
  pollIn(fd: number, milliseconds: number): number {
    const entry = new DataView(new ArrayBuffer(8));
    entry.setInt32(0, fd, true);
    entry.setInt16(4, 1, true);
    return this.result(this.#poll(new Uint8Array(entry.buffer), 1, milliseconds));
  }

  /** Where a typed array's bytes are; they never move when the array has a buffer of its own (new ArrayBuffer). */
  address(bytes: Uint8Array): bigint {
    return this.#ffi.address(bytes);
  }

  /** The bytes at an address of this process, as they are and will be: at most 4 GiB. */
  view(address: bigint, length: number): Uint8Array {
    return new Uint8Array(this.#ffi.view(address, length));
  }
}
