// SPDX-License-Identifier: Apache-2.0
import { ObjectKind } from '../../../traces/model.js';

/**
 * One call of a driver, in the form that both observers can be brought to: strace, which sees what reaches the kernel, and
 * a trace, which holds what the shim saw. Two calls are the same when all fields but `where` and `pastLibc` are.
 */
export interface Call {
  readonly thread: number;
  readonly name: CallName;
  readonly kind: FdKind;
  readonly fd: number;
  /** The request of an ioctl; flags of an open or eventfd; bytes of a read or write; protection and flags of an mmap. */
  readonly request: bigint;
  /** File offset of a pread, pwrite or mmap; the initial count of an eventfd; 0 otherwise. */
  readonly offset: bigint;
  readonly result: bigint;
  /** "EINVAL", or empty. */
  readonly error: string;
  /** Line of the log, or number of the event: for whoever looks into a difference. */
  readonly where: string;
  /** Made by a `syscall` instruction outside of libc and of the shim, where no preloaded library sees it. */
  readonly pastLibc?: true;
}

export type CallName = 'open' | 'close' | 'dup' | 'ioctl' | 'read' | 'write' | 'mmap' | 'eventfd';

export type FdKind = 'container' | 'group' | 'device' | 'cdev' | 'iommufd' | 'eventfd';

/**
 * What is compared. Other things that a trace holds are left out on purpose: sysfs files (libc's stdio opens them behind
 * the shim's back, and they are context, not calls to VFIO), wake-ups (one poll may give several events), KVM.
 */
export function kindOfObject(kind: number): FdKind | undefined {
  switch (kind) {
    case ObjectKind.CONTAINER:
      return 'container';
    case ObjectKind.GROUP:
    case ObjectKind.NOIOMMU_GROUP:
      return 'group';
    case ObjectKind.DEVICE:
      return 'device';
    case ObjectKind.CDEV:
      return 'cdev';
    case ObjectKind.IOMMUFD:
      return 'iommufd';
    case ObjectKind.EVENTFD:
      return 'eventfd';
    default:
      return undefined;
  }
}

/** By what /proc/PID/fd says of a descriptor, or by the path given to open. */
export function kindOfPath(path: string): FdKind | undefined {
  if (path === '/dev/vfio/vfio') return 'container';
  if (/^\/dev\/vfio\/(noiommu-)?\d+$/.test(path)) return 'group';
  if (/^\/dev\/vfio\/devices\/vfio\d+$/.test(path)) return 'cdev';
  if (path === '/dev/iommu') return 'iommufd';
  // Kernels before 6.13 give the name of the class, later ones that of the device.
  if (path.startsWith('anon_inode:[vfio-device')) return 'device';
  if (path.startsWith('anon_inode:[eventfd')) return 'eventfd';
  return undefined;
}

/** What must be equal, as one string. */
export function keyOf(call: Call): string {
  const { name, kind, fd, request, offset, result, error } = call;
  return `${name} ${kind} fd ${fd} 0x${request.toString(16)} @0x${offset.toString(16)} = ${result} ${error}`.trimEnd();
}
