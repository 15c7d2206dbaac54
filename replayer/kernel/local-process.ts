// SPDX-License-Identifier: Apache-2.0
/** A process that exists only here: memory, descriptors and eventfds for drivers that run in process. */
import { EMFILE } from './errno.js';
import { type Capability, type Eventfd, type Memory, OpenFile, type Pages, type Process } from './process.js';

interface Area {
  readonly start: bigint;
  readonly bytes: Uint8Array;
  readonly writable: boolean;
  /** A mapping of device memory, for which the bytes only keep the place. */
  readonly device: boolean;
}

const PAGE = 4096n;
const FDS_MAX = 1024;
const UNLIMITED = 2n ** 64n - 1n;

export class LocalEventfd implements Eventfd {
  readonly #watchers = new Set<() => void>();
  #count = 0n;
  #waking = false;

  /** By the kernel or by write(2): whoever watches it in the kernel takes the count. */
  signal(): void {
    // A watcher may cause the next signal of the same eventfd: the kernel's work queue would take that one later.
    if (this.#watchers.size === 0 || this.#waking) {
      this.#count++;
      return;
    }
    this.#waking = true;
    for (const watcher of [...this.#watchers]) watcher();
    this.#waking = false;
  }

  write(): void {
    this.signal();
  }

  /** read(2): the count, which is zero again afterwards; 0 stands for EAGAIN. */
  read(): bigint {
    const count = this.#count;
    this.#count = 0n;
    return count;
  }

  watch(callback: () => void): () => void {
    this.#watchers.add(callback);
    return () => this.#watchers.delete(callback);
  }
}

export interface LocalProcessOptions {
  readonly memlock?: bigint;
  readonly capabilities?: readonly Capability[];
}

let nextPid = 1;

export class LocalProcess implements Process {
  readonly pid = nextPid++;
  readonly memlock: bigint;
  readonly #capabilities: ReadonlySet<Capability>;
  readonly #files = new Map<number, OpenFile | Eventfd | 'other'>();
  #areas: Area[] = [];
  #nextAddress = 0x7f00_0000_0000n;
  readonly memory: Memory;

  constructor({ memlock = UNLIMITED, capabilities = [] }: LocalProcessOptions = {}) {
    this.memlock = memlock;
    this.#capabilities = new Set(capabilities);
    this.memory = {
      read: (address, into) => this.#transfer(address, into, false),
      write: (address, from) => this.#transfer(address, from, true),
    };
  }

  capable(capability: Capability): boolean {
    return this.#capabilities.has(capability);
  }

  /** mmap(2): whole pages; the bytes are the process's memory. */
  map(
    length: number,
    { writable = true, device = false } = {},
  ): { readonly address: bigint; readonly bytes: Uint8Array } {
    const size = Math.ceil(length / Number(PAGE)) * Number(PAGE);
    const bytes = new Uint8Array(device ? 0 : size);
    const start = this.#nextAddress;
    // A page between areas: a stray access is one.
    this.#nextAddress += BigInt(size) + PAGE;
    this.#areas.push({ start, bytes: device ? new Uint8Array(size) : bytes, writable, device });
    return { address: start, bytes };
  }

  unmap(address: bigint): void {
    this.#areas = this.#areas.filter(({ start }) => start !== address);
  }

  pages(address: bigint, length: bigint, write: boolean): Pages {
    const area = this.#area(address);
    if (area === undefined || address + length > area.start + BigInt(area.bytes.length)) return 'fault';
    if (write && !area.writable) return 'fault';
    return area.device ? 'device' : 'memory';
  }

  file(fd: number): OpenFile | Eventfd | 'other' | undefined {
    return this.#files.get(fd);
  }

  install(file: OpenFile | Eventfd | 'other'): number {
    for (let fd = 3; fd < FDS_MAX; fd++) {
      if (this.#files.has(fd)) continue;
      this.#files.set(fd, file);
      return fd;
    }
    return -EMFILE;
  }

  eventfd(): { readonly fd: number; readonly eventfd: LocalEventfd } {
    const eventfd = new LocalEventfd();
    return { fd: this.install(eventfd), eventfd };
  }

  /** close(2) */
  close(fd: number): void {
    const file = this.#files.get(fd);
    this.#files.delete(fd);
    if (file instanceof OpenFile && ![...this.#files.values()].includes(file)) file.drop();
  }

  /** dup(2) */
  dup(fd: number): number {
    const file = this.#files.get(fd);
    return file === undefined ? -1 : this.install(file);
  }

  /** Every descriptor is closed, and the memory is gone. */
  exit(): void {
    for (const fd of [...this.#files.keys()]) this.close(fd);
    this.#areas = [];
  }

  #area(address: bigint): Area | undefined {
    return this.#areas.find(({ start, bytes }) => address >= start && address < start + BigInt(bytes.length));
  }

  #transfer(address: bigint, bytes: Uint8Array, write: boolean): boolean {
    const area = this.#area(address);
    if (area === undefined || area.device || (write && !area.writable)) return false;
    const at = Number(address - area.start);
    if (at + bytes.length > area.bytes.length) return false;
    if (write) area.bytes.set(bytes, at);
    else bytes.set(area.bytes.subarray(at, at + bytes.length));
    return true;
  }
}
