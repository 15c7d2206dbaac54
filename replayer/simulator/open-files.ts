// SPDX-License-Identifier: Apache-2.0
/** Open VFIO files by the inode of the driver's socket, which is the same in every process that has one. */
import { CDEV, CONTAINER, DEVICE, IOMMUFD } from '../../abi/object-kinds.js';
import { SIM_MAJOR_CDEV, SIM_MAJOR_GROUP, SIM_NETLINK } from '../../abi/wire/sim.js';
import type { OpenFile } from '../kernel/process.js';

export interface NamedFile {
  readonly file: OpenFile;
  /** As /proc/PID/fd/N shows it. */
  readonly name: string;
  /** st_rdev; 0 for what has no node. */
  readonly rdev: bigint;
}

export class OpenFiles {
  readonly #files = new Map<bigint, NamedFile>();

  get(inode: bigint): NamedFile | undefined {
    return this.#files.get(inode);
  }

  add(inode: bigint, file: OpenFile, path: string | undefined): NamedFile {
    const number = path === undefined || path === SIM_NETLINK ? undefined : nodeNumber(path);
    const rdev = number === undefined ? 0n : BigInt(makedev(number));
    const named = { file, name: path ?? anonymousName(file.kind), rdev };
    this.#files.set(inode, named);
    return named;
  }

  remove(inode: bigint): OpenFile | undefined {
    const found = this.#files.get(inode);
    this.#files.delete(inode);
    return found?.file;
  }
}

export interface NodeNumber {
  readonly major: number;
  readonly minor: number;
}

/** Of a device node: as `dev` in sysfs has it. */
export function nodeNumber(path: string): NodeNumber {
  if (path === '/dev/vfio/vfio') return { major: 10, minor: 196 };
  if (path === '/dev/iommu') return { major: 10, minor: 228 };
  // MISC_DYNAMIC_MINOR: from 63 downwards.
  if (path === '/dev/uiommu') return { major: 10, minor: 63 };
  const minor = Number(/(\d+)$/.exec(path)?.[1] ?? 0);
  return { major: path.startsWith('/dev/vfio/devices/') ? SIM_MAJOR_CDEV : SIM_MAJOR_GROUP, minor };
}

/** include/linux/kdev_t.h: new_encode_dev */
function makedev({ major, minor }: NodeNumber): number {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
}

function anonymousName(kind: number): string {
  switch (kind) {
    case DEVICE:
    case CDEV:
      return 'anon_inode:[vfio-device]';
    case CONTAINER:
    case IOMMUFD:
      return 'anon_inode:[vfio]';
    default:
      return 'anon_inode:[iommufd]';
  }
}
