// SPDX-License-Identifier: Apache-2.0
/**
 * What the simulated kernel needs from the processes that call it, and what it gives them: open files. The shim's
 * backend implements Process with process_vm_readv and the driver's own descriptors; tests with plain arrays.
 */
import { EINVAL, ENODEV, ENOTTY } from './errno.js';

/** A process's memory at its virtual addresses. Nothing is transferred when a part of the range is not there. */
export interface Memory {
  read(address: bigint, into: Uint8Array): boolean;
  write(address: bigint, from: Uint8Array): boolean;
}

/** What a range of addresses is: pages of memory, a mapping of device memory, or (partly) nothing, or read-only. */
export type Pages = 'memory' | 'device' | 'fault';

export type Capability = 'IPC_LOCK' | 'SYS_RAWIO' | 'SYS_RESOURCE';

export interface Eventfd {
  /** Adds one to the counter. */
  signal(): void;
  /** Calls back whenever somebody else has written to it; returns how to stop that. */
  watch(callback: () => void): () => void;
}

export interface Process {
  readonly pid: number;
  readonly memory: Memory;
  /** Looks whether get_user_pages would succeed; `write` for a mapping that the device may write. */
  pages(address: bigint, length: bigint, write: boolean): Pages;
  /** Memory that a forked child gets as copies, made at the first write; none where nothing is said. */
  copiedOnFork?(): readonly { readonly from: bigint; readonly to: bigint }[];
  /** RLIMIT_MEMLOCK in bytes. */
  readonly memlock: bigint;
  capable(capability: Capability): boolean;
  /** The open file of a descriptor; undefined when it is closed. */
  file(fd: number): OpenFile | Eventfd | 'other' | undefined;
  /** A new descriptor for the file, or a negative errno. */
  install(file: OpenFile): number;
  /** No-IOMMU mode only: the virtual address that a physical one is at in this process. */
  physical?(address: bigint): { readonly address: bigint; readonly length: bigint } | undefined;
}

/** One ioctl. `memory` is the caller's, perhaps with the argument already fetched. */
export interface Call {
  readonly process: Process;
  readonly memory: Memory;
  readonly request: number;
  readonly argument: bigint;
}

export interface MmapRequest {
  readonly offset: bigint;
  readonly length: bigint;
  readonly shared: boolean;
  /** PROT_WRITE, which is taken for granted when nothing is said. */
  readonly writable?: boolean;
}

/** A mapped region. Loads and stores come back here; undefined and false mean SIGBUS. */
export interface Mapping {
  readonly region: number;
  /** Of its first byte in the region. */
  readonly offset: number;
  readonly length: number;
  load(offset: number, width: 1 | 2 | 4 | 8): bigint | undefined;
  store(offset: number, width: 1 | 2 | 4 | 8, value: bigint): boolean;
  /** A mapping holds its file open (vm_file). */
  unmap(): void;
}

/** An open file description. Descriptors, mappings and other files hold it. */
export abstract class OpenFile {
  abstract readonly kind: number;
  #references = 1;
  #position = 0n;

  hold(): this {
    this.#references++;
    return this;
  }

  /** The last one to let go closes it. */
  drop(): void {
    this.#references--;
    if (this.#references === 0) this.released();
  }

  get isOpen(): boolean {
    return this.#references > 0;
  }

  ioctl(_call: Call): number {
    return -ENOTTY;
  }

  pread(_into: Uint8Array, _offset: bigint): number {
    return -EINVAL;
  }

  pwrite(_from: Uint8Array, _offset: bigint): number {
    return -EINVAL;
  }

  /** read(2) and write(2): lseek fails, but the position moves. */
  read(into: Uint8Array): number {
    const done = this.pread(into, this.#position);
    if (done > 0) this.#position += BigInt(done);
    return done;
  }

  write(from: Uint8Array): number {
    const done = this.pwrite(from, this.#position);
    if (done > 0) this.#position += BigInt(done);
    return done;
  }

  mmap(_request: MmapRequest): Mapping | number {
    return -ENODEV;
  }

  protected released(): void {}
}

/** What of VFIO a kernel offers: its device nodes. */
export interface KernelInterface {
  readonly nodes: readonly string[];
  /** open(2): the file, or a negative errno. */
  open(process: Process, path: string): OpenFile | number;
  memoryGone?(process: Process, start: bigint, end: bigint): void;
  forked?(process: Process): void;
}

export function isEventfd(file: OpenFile | Eventfd | 'other'): file is Eventfd {
  return typeof file !== 'string' && !(file instanceof OpenFile);
}
