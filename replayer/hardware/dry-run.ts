// SPDX-License-Identifier: Apache-2.0
/** A target on which nothing is done: every call succeeds, and every register is zero. */
import { requestNumber } from '../../abi/ioctls.js';
import type { Target, TargetEventfd, TargetMapping, TargetMemory } from '../replay/target.js';

const GET_DEVICE_FD = requestNumber('VFIO_GROUP_GET_DEVICE_FD');
const NOWHERE: TargetMapping = {
  load: () => 0n,
  store: () => true,
  loadWide: () => 'whole',
  storeWide: () => 'whole',
  update: () => null,
  unmap: () => undefined,
};

export class DryRunTarget implements Target {
  readonly label: string;
  readonly bdf: string;
  readonly groupPath: string | undefined;
  readonly cdevPath: string | undefined;
  #nextFd = 3;
  #nextAddress = 0x1000n;

  constructor({ label, bdf, groupPath, cdevPath }: Pick<Target, 'label' | 'bdf' | 'groupPath' | 'cdevPath'>) {
    this.label = label;
    this.bdf = bdf;
    this.groupPath = groupPath;
    this.cdevPath = cdevPath;
  }

  open(): number {
    return this.#nextFd++;
  }

  ioctl(_fd: number, request: number): number {
    return request === GET_DEVICE_FD ? this.#nextFd++ : 0;
  }

  ioctlValue(): number {
    return 0;
  }

  pread(_fd: number, into: Uint8Array): number {
    return into.length;
  }

  pwrite(_fd: number, from: Uint8Array): number {
    return from.length;
  }

  mmap(): TargetMapping {
    return NOWHERE;
  }

  memory(length: bigint): TargetMemory {
    const address = this.#nextAddress;
    this.#nextAddress += length;
    return {
      address,
      read: (_, count) => new Uint8Array(count),
      write: () => undefined,
      free: () => undefined,
    };
  }

  eventfd(): TargetEventfd {
    const fd = this.#nextFd++;
    return { fd, read: () => 1n, wait: () => 1n, write: () => undefined, close: () => undefined };
  }

  close(): void {}
  settle(): void {}
  end(): void {}
}
