// SPDX-License-Identifier: Apache-2.0
/**
 * A session with a container and a group, on a machine that has only iommufd and device nodes. An iommufd takes the
 * container's calls itself, once it has an address space for them (iommufd/vfio_compat.c): the group is what is not there.
 */

import { requestNumber } from '../../../abi/ioctls.js';
import { IOAS_ALLOC, VFIO_IOAS } from '../../../abi/iommufd/ioas.js';
import { decode, encode, encodeInto } from '../../../abi/layout.js';
import { ATTACH_IOMMUFD_PT, BIND_IOMMUFD } from '../../../abi/vfio/device.js';
import { GROUP_STATUS, SET_CONTAINER } from '../../../abi/vfio/group.js';
import { EINVAL } from '../../kernel/errno.js';
import type { Target } from '../target.js';
import { TranslatedTarget } from './translated.js';

const VIABLE = 1;
const CONTAINER_SET = 2;
const IOAS_SET = 1;

const GROUP_GET_STATUS = requestNumber('VFIO_GROUP_GET_STATUS');
const GROUP_SET_CONTAINER = requestNumber('VFIO_GROUP_SET_CONTAINER');
const GROUP_UNSET_CONTAINER = requestNumber('VFIO_GROUP_UNSET_CONTAINER');
const GROUP_GET_DEVICE_FD = requestNumber('VFIO_GROUP_GET_DEVICE_FD');

export class GroupOnCdev extends TranslatedTarget {
  readonly groupPath = '/dev/vfio/group';
  readonly cdevPath: string;
  /** The address space of each iommufd that stands for a container. */
  readonly #spaces = new Map<number, number>();
  /** Groups, and which container each is in. */
  readonly #groups = new Map<number, number | undefined>();

  constructor(target: Target, cdevPath: string) {
    super(target);
    this.cdevPath = cdevPath;
  }

  open(path: string): number {
    if (path === this.groupPath) {
      const fd = this.newFd();
      this.#groups.set(fd, undefined);
      return fd;
    }
    if (path !== '/dev/vfio/vfio') return this.target.open(path);
    const { target } = this;
    const fd = target.open('/dev/iommu');
    if (fd < 0) return fd;
    const alloc = encode(IOAS_ALLOC, { size: IOAS_ALLOC.size });
    let result = target.ioctl(fd, requestNumber('IOMMU_IOAS_ALLOC'), alloc);
    const { out_ioas_id: ioas_id = 0 } = decode(IOAS_ALLOC, alloc);
    const compat = encode(VFIO_IOAS, { size: VFIO_IOAS.size, ioas_id, op: IOAS_SET });
    if (result >= 0) result = target.ioctl(fd, requestNumber('IOMMU_VFIO_IOAS'), compat);
    if (result < 0) {
      target.close(fd);
      return result;
    }
    this.#spaces.set(fd, ioas_id);
    return fd;
  }

  override close(fd: number): void {
    if (this.#groups.delete(fd)) return;
    this.#spaces.delete(fd);
    super.close(fd);
  }

  ioctl(fd: number, request: number, argument: Uint8Array): number {
    if (!this.#groups.has(fd)) return this.target.ioctl(fd, request, argument);
    const container = this.#groups.get(fd);
    switch (request) {
      case GROUP_GET_STATUS:
        encodeInto(
          GROUP_STATUS,
          { flags: VIABLE | (container === undefined ? 0 : CONTAINER_SET) },
          argument,
          0,
        );
        return 0;
      case GROUP_SET_CONTAINER: {
        const { fd: wanted = -1 } = decode(SET_CONTAINER, argument);
        if (container !== undefined || !this.#spaces.has(wanted)) return -EINVAL;
        this.#groups.set(fd, wanted);
        return 0;
      }
      case GROUP_GET_DEVICE_FD:
        return container === undefined ? -EINVAL : this.#openDevice(container);
      default:
        return -EINVAL;
    }
  }

  override ioctlValue(fd: number, request: number, argument: bigint): number {
    if (!this.#groups.has(fd)) return this.target.ioctlValue(fd, request, argument);
    if (request !== GROUP_UNSET_CONTAINER || this.#groups.get(fd) === undefined) return -EINVAL;
    this.#groups.set(fd, undefined);
    return 0;
  }

  #openDevice(iommufd: number): number {
    const { target } = this;
    const fd = target.open(this.cdevPath);
    if (fd < 0) return fd;
    const bind = encode(BIND_IOMMUFD, { argsz: BIND_IOMMUFD.size, iommufd });
    let result = target.ioctl(fd, requestNumber('VFIO_DEVICE_BIND_IOMMUFD'), bind);
    const pt_id = this.#spaces.get(iommufd) ?? 0;
    const attach = encode(ATTACH_IOMMUFD_PT, { argsz: ATTACH_IOMMUFD_PT.size, pt_id });
    if (result >= 0) result = target.ioctl(fd, requestNumber('VFIO_DEVICE_ATTACH_IOMMUFD_PT'), attach);
    if (result >= 0) return fd;
    target.close(fd);
    return result;
  }
}
