// SPDX-License-Identifier: Apache-2.0
/**
 * A session with an iommufd and a device node, on a machine that has only containers and groups. The device's group joins
 * the container when the iommufd is opened: a type 1 container takes no mappings before (vfio_iommu_type1.c is chosen by
 * VFIO_SET_IOMMU, which needs a group). There is one address space, and nothing for what type 1 does not know.
 */

import { requestNumber } from '../../../abi/ioctls.js';
import { IOAS_ALLOC, IOAS_MAP, IOAS_UNMAP } from '../../../abi/iommufd/ioas.js';
import { decode, encode, encodeInto } from '../../../abi/layout.js';
import { BIND_IOMMUFD } from '../../../abi/vfio/device.js';
import { SET_CONTAINER } from '../../../abi/vfio/group.js';
import { DMA_MAP, DMA_UNMAP } from '../../../abi/vfio/type1.js';
import { EINVAL, ENOENT } from '../../kernel/errno.js';
import { NoCounterpart, type Target } from '../target.js';
import { TranslatedTarget } from './translated.js';

const TYPE1V2 = 3n;
const UNMAP_ALL = 2;
const EVERYTHING = 2n ** 64n - 1n;
const READ = 1;
const WRITE = 2;
const WRITEABLE = 2;
const READABLE = 4;
const FIRST_ID = 1;

interface Container {
  readonly group: number;
  /** The id of the one address space, once the session has asked for it. */
  ioas: number | undefined;
}

const request = {
  bind: requestNumber('VFIO_DEVICE_BIND_IOMMUFD'),
  attach: requestNumber('VFIO_DEVICE_ATTACH_IOMMUFD_PT'),
  detach: requestNumber('VFIO_DEVICE_DETACH_IOMMUFD_PT'),
  destroy: requestNumber('IOMMU_DESTROY'),
  allocate: requestNumber('IOMMU_IOAS_ALLOC'),
  map: requestNumber('IOMMU_IOAS_MAP'),
  unmap: requestNumber('IOMMU_IOAS_UNMAP'),
} as const;

export class CdevOnGroup extends TranslatedTarget {
  readonly groupPath: string;
  readonly cdevPath = '/dev/vfio/devices/device';
  readonly #containers = new Map<number, Container>();
  /** Device nodes, and the device's descriptor once they are bound. */
  readonly #nodes = new Map<number, number | undefined>();

  constructor(target: Target, groupPath: string) {
    super(target);
    this.groupPath = groupPath;
  }

  protected override below(fd: number): number {
    return this.#nodes.get(fd) ?? fd;
  }

  open(path: string): number {
    if (path === this.cdevPath) {
      const fd = this.newFd();
      this.#nodes.set(fd, undefined);
      return fd;
    }
    return path === '/dev/iommu' ? this.#openContainer() : this.target.open(path);
  }

  #openContainer(): number {
    const { target } = this;
    const fd = target.open('/dev/vfio/vfio');
    if (fd < 0) return fd;
    const group = target.open(this.groupPath);
    if (group < 0) {
      target.close(fd);
      return group;
    }
    let result = target.ioctl(
      group,
      requestNumber('VFIO_GROUP_SET_CONTAINER'),
      encode(SET_CONTAINER, { fd }),
    );
    if (result >= 0) result = target.ioctlValue(fd, requestNumber('VFIO_SET_IOMMU'), TYPE1V2);
    if (result < 0) {
      target.close(group);
      target.close(fd);
      return result;
    }
    this.#containers.set(fd, { group, ioas: undefined });
    return fd;
  }

  override close(fd: number): void {
    const device = this.#nodes.get(fd);
    if (this.#nodes.delete(fd)) {
      if (device !== undefined) this.target.close(device);
      return;
    }
    const container = this.#containers.get(fd);
    if (container !== undefined) this.target.close(container.group);
    this.#containers.delete(fd);
    super.close(fd);
  }

  override ioctlValue(fd: number, number: number, argument: bigint): number {
    if (this.#isUnbound(fd)) return -EINVAL;
    return super.ioctlValue(fd, number, argument);
  }

  override pread(fd: number, into: Uint8Array, offset: bigint): number {
    return this.#isUnbound(fd) ? -EINVAL : super.pread(fd, into, offset);
  }

  override pwrite(fd: number, from: Uint8Array, offset: bigint): number {
    return this.#isUnbound(fd) ? -EINVAL : super.pwrite(fd, from, offset);
  }

  ioctl(fd: number, number: number, argument: Uint8Array): number {
    const container = this.#containers.get(fd);
    if (container !== undefined) return this.#iommufdCall(fd, container, number, argument);
    if (!this.#nodes.has(fd)) return this.target.ioctl(fd, number, argument);
    if (number === request.bind) return this.#bind(fd, argument);
    if (this.#isUnbound(fd)) return -EINVAL;
    if (number === request.attach || number === request.detach) return 0;
    return this.target.ioctl(this.below(fd), number, argument);
  }

  #isUnbound(fd: number): boolean {
    return this.#nodes.has(fd) && this.#nodes.get(fd) === undefined;
  }

  #bind(node: number, argument: Uint8Array): number {
    const container = this.#containers.get(decode(BIND_IOMMUFD, argument).iommufd ?? -1);
    if (container === undefined || !this.#isUnbound(node)) return -EINVAL;
    const name = new TextEncoder().encode(`${this.bdf}\0`);
    const fd = this.target.ioctl(container.group, requestNumber('VFIO_GROUP_GET_DEVICE_FD'), name);
    if (fd < 0) return fd;
    this.#nodes.set(node, fd);
    encodeInto(BIND_IOMMUFD, { out_devid: FIRST_ID }, argument, 0);
    return 0;
  }

  #iommufdCall(fd: number, container: Container, number: number, argument: Uint8Array): number {
    switch (number) {
      case request.allocate:
        if (container.ioas !== undefined) throw new NoCounterpart('a container has one address space');
        container.ioas = FIRST_ID + 1;
        encodeInto(IOAS_ALLOC, { out_ioas_id: container.ioas }, argument, 0);
        return 0;
      case request.map:
        return this.#map(fd, container, argument);
      case request.unmap:
        return this.#unmap(fd, container, argument);
      case request.destroy:
        return 0;
      default:
        throw new NoCounterpart('a container has nothing like it');
    }
  }

  #map(fd: number, { ioas }: Container, argument: Uint8Array): number {
    const { ioas_id, flags = 0, user_va = 0n, length = 0n, iova = 0n } = decode(IOAS_MAP, argument);
    if (ioas_id !== ioas) return -ENOENT;
    const map = encode(DMA_MAP, {
      argsz: DMA_MAP.size,
      flags: ((flags & READABLE) !== 0 ? READ : 0) | ((flags & WRITEABLE) !== 0 ? WRITE : 0),
      vaddr: user_va,
      iova,
      size: length,
    });
    return this.target.ioctl(fd, requestNumber('VFIO_IOMMU_MAP_DMA'), map);
  }

  #unmap(fd: number, { ioas }: Container, argument: Uint8Array): number {
    const { ioas_id, iova = 0n, length = 0n } = decode(IOAS_UNMAP, argument);
    if (ioas_id !== ioas) return -ENOENT;
    const everything = iova === 0n && length === EVERYTHING;
    const unmap = encode(DMA_UNMAP, {
      argsz: DMA_UNMAP.size,
      flags: everything ? UNMAP_ALL : 0,
      iova,
      size: everything ? 0n : length,
    });
    const result = this.target.ioctl(fd, requestNumber('VFIO_IOMMU_UNMAP_DMA'), unmap);
    const { size = 0n } = decode(DMA_UNMAP, unmap);
    if (result < 0) return result;
    // iommufd: nothing was there to unmap (io_pagetable.c iopt_unmap_iova); type 1 says zero bytes.
    if (size === 0n && !everything) return -ENOENT;
    encodeInto(IOAS_UNMAP, { length: size }, argument, 0);
    return 0;
  }
}
