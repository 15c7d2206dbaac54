// SPDX-License-Identifier: Apache-2.0
/** A driver's process as the simulated kernel sees it: through /proc, and through the shim in it. */
import { readFileSync, readlinkSync } from 'node:fs';
import { EBADF, EMFILE } from '../kernel/errno.js';
import type { Capability, Eventfd, OpenFile, Pages, Process } from '../kernel/process.js';
import type { OpenFiles } from './open-files.js';
import { ProcessMemory } from './process-memory.js';
import { Service, type ServiceSend } from './service.js';

/** include/uapi/linux/capability.h */
const CAPABILITY_BITS: Readonly<Record<Capability, bigint>> = {
  IPC_LOCK: 14n,
  SYS_RAWIO: 17n,
  SYS_RESOURCE: 24n,
};
const UNLIMITED = 2n ** 64n - 1n;

/** Where a mapping of device memory lies in a process; a mapping may lie in several pieces, and in several processes. */
export interface DeviceRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly id: number;
}

/** A socket that the shim made in case an ioctl gives out a descriptor. */
export interface Spare {
  readonly fd: number;
  readonly inode: bigint;
}

export class RemoteProcess implements Process {
  readonly memory: ProcessMemory;
  readonly service: Service;
  ranges: DeviceRange[] = [];
  /** Channels and service connections that are up. */
  connections = 0;
  #spare: Spare | undefined;
  #installed: OpenFile | undefined;

  constructor(
    readonly pid: number,
    readonly files: OpenFiles,
    send: ServiceSend,
  ) {
    this.memory = new ProcessMemory(pid);
    this.service = new Service(send);
  }

  get memlock(): bigint {
    const found = /^Max locked memory +(\S+)/m.exec(this.#proc('limits'));
    return found?.[1] === undefined || found[1] === 'unlimited' ? UNLIMITED : BigInt(found[1]);
  }

  capable(capability: Capability): boolean {
    const found = /^CapEff:\s*([0-9a-f]+)/m.exec(this.#proc('status'));
    return found !== null && ((BigInt(`0x${found[1]}`) >> CAPABILITY_BITS[capability]) & 1n) === 1n;
  }

  pages(address: bigint, length: bigint, write: boolean): Pages {
    const end = address + length;
    if (this.ranges.some((range) => address < range.end && end > range.start)) return 'device';
    return this.memory.permits(address, length, write) ? 'memory' : 'fault';
  }

  copiedOnFork(): readonly { readonly from: bigint; readonly to: bigint }[] {
    return this.memory.copiedOnFork();
  }

  file(fd: number): OpenFile | Eventfd | 'other' | undefined {
    let link: string;
    try {
      link = readlinkSync(`/proc/${this.pid}/fd/${fd}`);
    } catch {
      return undefined;
    }
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined) return this.files.get(BigInt(inode))?.file ?? 'other';
    if (link !== 'anon_inode:[eventfd]') return 'other';
    return this.service.take(fd, /^eventfd-id:\s*(\S+)/m.exec(this.#proc(`fdinfo/${fd}`))?.[1]);
  }

  /** Within `withSpare` only: the shim has no other descriptor to give. */
  install(file: OpenFile): number {
    if (this.#spare === undefined) return -EMFILE;
    if (this.#installed !== undefined) return -EBADF;
    this.#installed = file;
    return this.#spare.fd;
  }

  /** Runs a call that may install a file on this socket; says which one it did. */
  withSpare<T>(
    spare: Spare | undefined,
    call: () => T,
  ): { readonly value: T; readonly installed: OpenFile | undefined } {
    this.#spare = spare;
    this.#installed = undefined;
    try {
      const value = call();
      return { value, installed: this.#installed };
    } finally {
      this.#spare = undefined;
    }
  }

  close(): void {
    this.service.gone();
    this.memory.close();
  }

  #proc(name: string): string {
    try {
      return readFileSync(`/proc/${this.pid}/${name}`, 'latin1');
    } catch {
      return '';
    }
  }
}

/** What is left of the ranges when [start, end) is gone. */
export function cutRanges(ranges: readonly DeviceRange[], start: bigint, end: bigint): DeviceRange[] {
  return ranges.flatMap((range) => {
    if (end <= range.start || start >= range.end) return [range];
    const left: DeviceRange[] = [];
    if (range.start < start) left.push({ ...range, end: start });
    if (range.end > end) left.push({ ...range, start: end });
    return left;
  });
}
