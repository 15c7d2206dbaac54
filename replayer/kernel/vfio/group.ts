// SPDX-License-Identifier: Apache-2.0
/** VFIO's group interface: /dev/vfio/N (drivers/vfio/group.c). */
import { GROUP, NOIOMMU_GROUP } from '../../../abi/object-kinds.js';
import { GROUP_FLAGS, GROUP_IOCTLS, GROUP_STATUS } from '../../../abi/vfio/group.js';
import { Container } from '../container/container.js';
import { EBADF, EBADFD, EBUSY, EFAULT, EINVAL, ENODEV, ENOTTY, EPERM } from '../errno.js';
import type { IommuGroup } from '../iommu/group.js';
import { Iommufd } from '../iommufd/iommufd.js';
import { type Call, OpenFile, type Process } from '../process.js';
import { handlers } from '../requests.js';
import { bytesIn, structIn, structOut } from '../user-memory.js';
import type { KernelVersion } from '../variant.js';
import { DeviceFile } from './device-file.js';
import type { GroupFiles } from './hot-reset.js';
import type { User, VfioDevice } from './vfio-device.js';

const NAME_MAX = 4096;

/** What there is one of for each group, open or not. */
export class VfioGroup {
  readonly devices: VfioDevice[] = [];
  opened: GroupFile | undefined;
  #cdevs = 0;

  constructor(
    readonly iommuGroup: IommuGroup,
    readonly version: KernelVersion,
  ) {}

  get isNoiommu(): boolean {
    return this.iommuGroup.hardware === undefined;
  }

  add(device: VfioDevice): void {
    this.devices.push(device);
    device.onGone = () => {
      if (this.isGone) this.opened?.revoke();
    };
  }

  /** Its last device was taken away (vfio_device_remove_group): its node goes, too. */
  get isGone(): boolean {
    return this.devices.length > 0 && this.devices.every((device) => device.isGone);
  }

  /** vfio_group_fops_open() */
  open(process: Process): GroupFile | number {
    if (this.isNoiommu && !process.capable('SYS_RAWIO')) return -EPERM;
    if (this.#cdevs > 0 || this.opened !== undefined) return -EBUSY;
    this.opened = new GroupFile(this);
    return this.opened;
  }

  /** vfio_device_block_group(): the group interface and the character device exclude each other. */
  block(): number {
    if (this.opened !== undefined) return -EBUSY;
    this.#cdevs++;
    return 0;
  }

  unblock(): void {
    this.#cdevs--;
  }
}

export class GroupFile extends OpenFile {
  readonly kind: number;
  #container: Container | undefined;
  #iommufd: Iommufd | undefined;
  /** Devices that are open through the container. */
  #devices = 0;

  constructor(readonly group: VfioGroup) {
    super();
    this.kind = group.isNoiommu ? NOIOMMU_GROUP : GROUP;
  }

  override ioctl(call: Call): number {
    return IOCTLS.get(call.request)?.(this, call) ?? -ENOTTY;
  }

  get #hasIommu(): boolean {
    return this.#container !== undefined || this.#iommufd !== undefined;
  }

  /** vfio_group_ioctl_get_status() */
  status(call: Call): number {
    const given = structIn(call, GROUP_STATUS);
    if (given === undefined) return -EFAULT;
    if (given.argsz < GROUP_STATUS.size) return -EINVAL;
    if (this.group.isGone) return -ENODEV;
    const { VIABLE, CONTAINER_SET } = GROUP_FLAGS.bits;
    let flags = 0;
    if (this.#hasIommu) flags = VIABLE | CONTAINER_SET;
    else if (!this.group.iommuGroup.isClaimed) flags = VIABLE;
    return structOut(call, GROUP_STATUS, { argsz: given.argsz, flags }) ? 0 : -EFAULT;
  }

  /** vfio_group_ioctl_set_container() */
  setContainer(call: Call): number {
    const bytes = bytesIn(call.memory, call.argument, 4);
    if (bytes === undefined) return -EFAULT;
    const file = call.process.file(new DataView(bytes.buffer).getInt32(0, true));
    if (file === undefined) return -EBADF;
    if (this.#hasIommu) return -EINVAL;
    if (this.group.isGone) return -ENODEV;
    if (file instanceof Container) {
      const result = file.attachGroup(this.group.iommuGroup, call.process);
      if (result === 0) this.#container = file;
      return result;
    }
    if (file instanceof Iommufd) {
      const result = file.useAsContainer(this.group.isNoiommu);
      if (result === 0) this.#iommufd = file.hold();
      return result;
    }
    return this.group.version === '6.1' ? -EINVAL : -EBADFD;
  }

  /** vfio_group_ioctl_unset_container() */
  unsetContainer(): number {
    if (!this.#hasIommu) return -EINVAL;
    if (this.#devices > 0) return -EBUSY;
    this.#letGo();
    return 0;
  }

  /** vfio_group_ioctl_get_device_fd() */
  getDevice(call: Call, groups: GroupFiles): number {
    const name = nameIn(call);
    if (typeof name === 'number') return name;
    const device = this.#find(name);
    if (typeof device === 'number') return device;
    if (!this.#hasIommu) return -EINVAL;
    const file = new DeviceFile(device, undefined, groups);
    const opened = this.#openDevice(file, call.process);
    if (opened !== 0) return opened;
    const fd = call.process.install(file);
    if (fd < 0) file.drop();
    return fd;
  }

  /** vfio_df_group_open() */
  #openDevice(file: DeviceFile, process: Process): number {
    const iommufd = this.#iommufd;
    if (iommufd === undefined) return file.openByGroup(this.#containerUser(process));
    const { device } = file;
    const first = !device.isOpen;
    // No-IOMMU devices have no place in an iommufd that translates.
    if (this.group.isNoiommu && first && (!process.capable('SYS_RAWIO') || iommufd.compatIoas !== undefined))
      return -EPERM;
    const result = file.openByGroup({ kind: 'iommufd', iommufd });
    if (result !== 0 || !first || device.bound === undefined) return result;
    const attached =
      iommufd.compatIoas === undefined ? -ENODEV : iommufd.attach(device.bound, iommufd.compatIoas.id);
    if (attached >= 0) return 0;
    file.drop();
    return attached;
  }

  /** vfio_group_use_container(): open devices keep group and container open. */
  #containerUser(process: Process): User {
    return {
      kind: 'container',
      use: () => {
        if (this.#container?.hasIommu !== true) return -EINVAL;
        if (this.group.isNoiommu && !process.capable('SYS_RAWIO')) return -EPERM;
        this.#devices++;
        this.hold();
        return 0;
      },
      unuse: () => {
        this.#devices--;
        this.drop();
      },
    };
  }

  /** vfio_pci_core_match(): the address, and perhaps options behind a space. */
  #find(text: string): VfioDevice | number {
    for (const device of this.group.devices) {
      if (!text.startsWith(device.name) || device.isHidden(this.group.version)) continue;
      const rest = text.slice(device.name.length);
      if (rest === '') return device;
      if (!rest.startsWith(' ')) continue;
      // The only option is the token of a physical function, which no device here is or has.
      if (rest.trim() !== '') return -EINVAL;
      return device;
    }
    return -ENODEV;
  }

  /** The group has no device any more: "revoke all users of group->iommu_group". */
  revoke(): void {
    this.#letGo();
  }

  #letGo(): void {
    this.#container?.detachGroup(this.group.iommuGroup);
    this.#container = undefined;
    this.#iommufd?.drop();
    this.#iommufd = undefined;
  }

  protected override released(): void {
    this.#letGo();
    this.group.opened = undefined;
  }
}

/** strndup_user() of a name. */
function nameIn(call: Call): string | number {
  // Memory may end anywhere: it is read in the pieces that pages make.
  const bytes = new Uint8Array(NAME_MAX);
  let length = 0;
  while (length < NAME_MAX) {
    const at = call.argument + BigInt(length);
    const chunk = Math.min(64 - Number(at & 63n), NAME_MAX - length);
    const piece = bytesIn(call.memory, at, chunk);
    if (piece === undefined) return -EFAULT;
    bytes.set(piece, length);
    const end = piece.indexOf(0);
    if (end >= 0) return Buffer.from(bytes.subarray(0, length + end)).toString('latin1');
    length += chunk;
  }
  return -EINVAL;
}

/** Which group a descriptor stands for, for those that name groups by descriptors. */
export const GROUP_FILES: GroupFiles = {
  groupOf: (file) => (file instanceof GroupFile ? file.group.iommuGroup.id : undefined),
};

const IOCTLS = handlers<[GroupFile, Call]>(GROUP_IOCTLS, {
  VFIO_GROUP_GET_STATUS: (file, call) => file.status(call),
  VFIO_GROUP_SET_CONTAINER: (file, call) => file.setContainer(call),
  VFIO_GROUP_UNSET_CONTAINER: (file) => file.unsetContainer(),
  VFIO_GROUP_GET_DEVICE_FD: (file, call) => file.getDevice(call, GROUP_FILES),
});
