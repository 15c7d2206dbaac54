// SPDX-License-Identifier: Apache-2.0
/** An open device: what its descriptor answers (vfio_main.c, device_cdev.c). */

import { CDEV, DEVICE } from '../../../abi/object-kinds.js';
import {
  ATTACH_IOMMUFD_PT,
  BIND_IOMMUFD,
  DETACH_IOMMUFD_PT,
  DEVICE_IOCTLS,
} from '../../../abi/vfio/device.js';
import { EBADF, EBADFD, EFAULT, EINVAL, ENOTTY } from '../errno.js';
import { Iommufd } from '../iommufd/iommufd.js';
import { type Call, type Mapping, type MmapRequest, OpenFile } from '../process.js';
import { handlers, requestOf } from '../requests.js';
import { bytesOut, endOf, structIn } from '../user-memory.js';
import { deviceFeature } from './feature.js';
import { type GroupFiles, hotReset, hotResetInfo } from './hot-reset.js';
import type { User, VfioDevice } from './vfio-device.js';

const BIND = requestOf(DEVICE_IOCTLS, 'VFIO_DEVICE_BIND_IOMMUFD');

/** How a character device keeps its group from being opened, and the reverse. */
export interface GroupBlock {
  block(): number;
  unblock(): void;
}

export class DeviceFile extends OpenFile {
  readonly kind: number;
  #granted = false;

  constructor(
    readonly device: VfioDevice,
    /** undefined for one that a group opened. */
    readonly cdev: GroupBlock | undefined,
    readonly groups: GroupFiles,
  ) {
    super();
    this.kind = cdev === undefined ? DEVICE : CDEV;
  }

  /** By VFIO_GROUP_GET_DEVICE_FD. */
  openByGroup(user: User): number {
    const result = this.device.open(user, true);
    this.#granted = result === 0;
    return result;
  }

  override ioctl(call: Call): number {
    if (call.request === BIND && this.device.core.version !== '6.1') return this.#bind(call);
    if (!this.#granted) return -EINVAL;
    const { core } = this.device;
    core.wake();
    const handler =
      (this.cdev === undefined ? undefined : CDEV_IOCTLS.get(call.request)) ?? IOCTLS.get(call.request);
    const result = handler?.(this, call) ?? -ENOTTY;
    core.idle();
    return result;
  }

  override pread(into: Uint8Array, offset: bigint): number {
    return this.#access(offset, into, false);
  }

  override pwrite(from: Uint8Array, offset: bigint): number {
    return this.#access(offset, from, true);
  }

  #access(offset: bigint, bytes: Uint8Array, write: boolean): number {
    if (!this.#granted) return -EINVAL;
    const { core } = this.device;
    core.wake();
    const result = core.regions.access(offset, bytes, write);
    core.idle();
    return result;
  }

  override mmap(request: MmapRequest): Mapping | number {
    return this.#granted ? this.device.core.regions.map(this, request) : -EINVAL;
  }

  /** vfio_df_ioctl_bind_iommufd() */
  #bind(call: Call): number {
    const size = endOf(BIND_IOMMUFD, 'out_devid');
    const given = structIn(call, BIND_IOMMUFD, size);
    if (given === undefined) return -EFAULT;
    if (given.argsz < size || given.flags !== 0 || given.iommufd < 0) return -EINVAL;
    if (this.cdev === undefined) return -EINVAL;
    const blocked = this.cdev.block();
    if (blocked !== 0) return blocked;
    const result = this.#bindTo(call, given.iommufd);
    if (result !== 0) this.cdev.unblock();
    return result;
  }

  #bindTo(call: Call, fd: number): number {
    if (this.#granted) return -EINVAL;
    const iommufd = call.process.file(fd);
    if (iommufd === undefined) return -EBADF;
    if (!(iommufd instanceof Iommufd)) return -EBADFD;
    const result = this.device.open({ kind: 'iommufd', iommufd }, false);
    if (result !== 0) return result;
    const id = new Uint8Array(4);
    new DataView(id.buffer).setUint32(0, this.device.bound?.id ?? 0, true);
    if (!bytesOut(call.memory, call.argument + BigInt(BIND_IOMMUFD.fields.out_devid.offset), id)) {
      this.device.close();
      return -EFAULT;
    }
    this.device.openedAsCdev = true;
    this.#granted = true;
    return 0;
  }

  /** vfio_df_ioctl_attach_pt() */
  attach(call: Call): number {
    const size = endOf(ATTACH_IOMMUFD_PT, 'pt_id');
    const given = structIn(call, ATTACH_IOMMUFD_PT, size);
    if (given === undefined) return -EFAULT;
    if (given.argsz < size || given.flags !== 0) return -EINVAL;
    const { bound, iommufd } = this.device;
    if (bound === undefined || iommufd === undefined) return -EINVAL;
    const id = iommufd.attach(bound, given.pt_id);
    if (id < 0) return id;
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, id, true);
    if (bytesOut(call.memory, call.argument + BigInt(ATTACH_IOMMUFD_PT.fields.pt_id.offset), bytes)) return 0;
    iommufd.detach(bound);
    return -EFAULT;
  }

  /** vfio_df_ioctl_detach_pt() */
  detach(call: Call): number {
    const size = endOf(DETACH_IOMMUFD_PT, 'flags');
    const given = structIn(call, DETACH_IOMMUFD_PT, size);
    if (given === undefined) return -EFAULT;
    if (given.argsz < size || given.flags !== 0) return -EINVAL;
    const { bound, iommufd } = this.device;
    if (bound !== undefined) iommufd?.detach(bound);
    return 0;
  }

  protected override released(): void {
    if (!this.#granted) return;
    this.device.close();
    this.cdev?.unblock();
  }
}

const IOCTLS = handlers<[DeviceFile, Call]>(DEVICE_IOCTLS, {
  VFIO_DEVICE_GET_INFO: ({ device }, call) => device.core.info(call),
  VFIO_DEVICE_GET_REGION_INFO: ({ device }, call) => device.core.regions.info(call),
  VFIO_DEVICE_GET_IRQ_INFO: ({ device }, call) => device.core.interrupts.info(call),
  VFIO_DEVICE_SET_IRQS: ({ device }, call) => device.core.interrupts.setFromUser(call),
  VFIO_DEVICE_RESET: ({ device }) => device.core.reset(),
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: ({ device }, call) => hotResetInfo(call, device, device.set),
  VFIO_DEVICE_PCI_HOT_RESET: ({ device, groups }, call) => hotReset(call, device, device.set, groups),
  VFIO_DEVICE_IOEVENTFD: ({ device }, call) => device.core.ioeventfds.set(call),
  VFIO_DEVICE_FEATURE: ({ device }, call) => deviceFeature(call, device.core.power),
});

const CDEV_IOCTLS = handlers<[DeviceFile, Call]>(DEVICE_IOCTLS, {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT: (file, call) => file.attach(call),
  VFIO_DEVICE_DETACH_IOMMUFD_PT: (file, call) => file.detach(call),
});
