// SPDX-License-Identifier: Apache-2.0
/** A target that is spoken to in the other of VFIO's two interfaces: what is the same in both goes straight through. */
import type { Target, TargetEventfd, TargetMapping, TargetMemory } from '../target.js';

/** Descriptors that only the replay knows begin here: above what a process may have (fs.nr_open). */
const OWN_FDS = 1 << 30;

export abstract class TranslatedTarget implements Target {
  abstract readonly groupPath: string | undefined;
  abstract readonly cdevPath: string | undefined;
  readonly label: string;
  readonly bdf: string;
  #nextFd = OWN_FDS;

  constructor(protected readonly target: Target) {
    this.label = target.label;
    this.bdf = target.bdf;
  }

  protected newFd(): number {
    return this.#nextFd++;
  }

  /** The descriptor below. */
  protected below(fd: number): number {
    return fd;
  }

  abstract open(path: string): number;
  abstract ioctl(fd: number, request: number, argument: Uint8Array): number;

  close(fd: number): void {
    this.target.close(this.below(fd));
  }

  ioctlValue(fd: number, request: number, argument: bigint): number {
    return this.target.ioctlValue(this.below(fd), request, argument);
  }

  pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.target.pread(this.below(fd), into, offset);
  }

  pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return this.target.pwrite(this.below(fd), from, offset);
  }

  mmap(fd: number, offset: bigint, length: bigint, writable: boolean): TargetMapping | number {
    return this.target.mmap(this.below(fd), offset, length, writable);
  }

  memory(length: bigint): TargetMemory {
    return this.target.memory(length);
  }

  eventfd(): TargetEventfd {
    return this.target.eventfd();
  }

  settle(): void {
    this.target.settle();
  }

  end(): void {
    this.target.end();
  }
}
