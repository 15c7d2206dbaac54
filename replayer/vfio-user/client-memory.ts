// SPDX-License-Identifier: Apache-2.0
/**
 * The memory that a client lets the device reach: VFIO_USER_DMA_MAP and _UNMAP. Where the client sent a descriptor, bytes are
 * read and written there by pread(2) and pwrite(2): a client that cuts its file short makes a fault then, where a mapping would
 * end the server by SIGBUS. Without a descriptor, or where it can't be written so (hugetlbfs), they travel as messages.
 */
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { decode, encode, type Values } from '../../abi/layout.js';
import { EEXIST, EINVAL, ENOENT, ENOSPC } from '../kernel/errno.js';
import {
  type AddressSpace,
  DMA_READ,
  DMA_WRITE,
  type DmaMapping,
  MappingList,
  nextSequence,
} from '../kernel/iommu/mappings.js';
import { LAST_ADDRESS } from '../kernel/iommu/ranges.js';
import type { Memory, Process } from '../kernel/process.js';
import { DMA_MAP, DMA_UNMAP, DMA_UNMAP_ALL } from './protocol.js';

const PAGE = 4096n;

/** By messages: VFIO_USER_DMA_READ and _WRITE. */
export interface MessageDma {
  read(address: bigint, into: Uint8Array): boolean;
  write(address: bigint, from: Uint8Array): boolean;
}

interface Window extends DmaMapping {
  /** undefined: by messages. */
  readonly fd: number | undefined;
}

export class ClientMemory implements AddressSpace {
  readonly #windows = new MappingList<Window>();

  constructor(
    readonly most: number,
    readonly messages: MessageDma,
  ) {}

  lookup(iova: bigint): DmaMapping | undefined {
    return this.#windows.at(iova);
  }

  get count(): number {
    return this.#windows.all.length;
  }

  /** VFIO_USER_DMA_MAP: 0 or a negative errno. The descriptor is taken over when it is 0. */
  map(payload: Uint8Array, fds: readonly number[]): number {
    if (payload.length !== DMA_MAP.size || fds.length > 1) return -EINVAL;
    const { argsz, flags, offset, address, size } = decode(DMA_MAP, payload) as Values<typeof DMA_MAP>;
    if (argsz < DMA_MAP.size || (flags & ~(DMA_READ | DMA_WRITE)) !== 0) return -EINVAL;
    if (size === 0n || ((address | size) & (PAGE - 1n)) !== 0n) return -EINVAL;
    const last = address + size - 1n;
    const [fd] = fds;
    if (last > LAST_ADDRESS || (fd !== undefined && !holds(fd, offset, size))) return -EINVAL;
    if (this.#windows.first(address, last) !== undefined) return -EEXIST;
    if (this.count >= this.most) return -ENOSPC;
    this.#windows.insert({
      start: address,
      last,
      address,
      protection: flags,
      device: false,
      sequence: nextSequence(),
      process: processOf(
        fd === undefined ? this.messages : new FileMemory(fd, address, offset, this.messages),
      ),
      fd,
    });
    return 0;
  }

  /** VFIO_USER_DMA_UNMAP: the reply, or a negative errno. */
  unmap(payload: Uint8Array): Uint8Array | number {
    if (payload.length !== DMA_UNMAP.size) return -EINVAL;
    const given = decode(DMA_UNMAP, payload) as Values<typeof DMA_UNMAP>;
    if (given.argsz < DMA_UNMAP.size || (given.flags & ~DMA_UNMAP_ALL) !== 0) return -EINVAL;
    if (given.flags === DMA_UNMAP_ALL) {
      if (given.address !== 0n || given.size !== 0n) return -EINVAL;
      this.clear();
    } else {
      const window = this.#windows.at(given.address);
      const exact = window?.start === given.address && window.last - window.start + 1n === given.size;
      if (window === undefined || !exact) return -ENOENT;
      this.#windows.remove(window);
      if (window.fd !== undefined) closeSync(window.fd);
    }
    return encode(DMA_UNMAP, { ...given, argsz: DMA_UNMAP.size });
  }

  /** The client is gone. */
  clear(): void {
    for (const { fd } of this.#windows.all) if (fd !== undefined) closeSync(fd);
    this.#windows.clear();
  }
}

/** A file has its size; what has none (a device) is taken at its word. */
function holds(fd: number, offset: bigint, size: bigint): boolean {
  try {
    const file = fstatSync(fd, { bigint: true });
    return !file.isFile() || offset + size <= file.size;
  } catch {
    return false;
  }
}

/** Only for its memory: nothing else of a client is a process here. */
function processOf(memory: Memory): Process {
  return {
    pid: 0,
    memory,
    pages: () => 'memory',
    memlock: LAST_ADDRESS,
    capable: () => true,
    file: () => undefined,
    install: () => -EINVAL,
  };
}

/** A window into a file that the client sent. */
class FileMemory implements Memory {
  constructor(
    readonly fd: number,
    readonly start: bigint,
    readonly offset: bigint,
    readonly fallback: MessageDma,
  ) {}

  read(address: bigint, into: Uint8Array): boolean {
    const at = this.offset + (address - this.start);
    const read = (done: number): number =>
      // Node's types know no bigint position in this form.
      readSync(this.fd, into, done, into.length - done, (at + BigInt(done)) as never);
    return transfer(into.length, read) || this.fallback.read(address, into);
  }

  write(address: bigint, from: Uint8Array): boolean {
    const at = Number(this.offset + (address - this.start));
    const write = (done: number): number => writeSync(this.fd, from, done, from.length - done, at + done);
    return transfer(from.length, write) || this.fallback.write(address, from);
  }
}

function transfer(length: number, step: (done: number) => number): boolean {
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
