// SPDX-License-Identifier: Apache-2.0
/**
 * Resetting a bus with everything on it: allowed to whoever owns all of it (vfio_pci_ioctl_get_pci_hot_reset_info,
 * vfio_pci_dev_set_hot_reset).
 */
import { encode, readU32 } from '../../../abi/layout.js';
import { DEPENDENT_DEVICE, HOT_RESET, HOT_RESET_FLAGS, HOT_RESET_INFO } from '../../../abi/vfio/hot-reset.js';
import { EBADF, EFAULT, EINVAL, ENODEV, ENOSPC } from '../errno.js';
import { D0 } from '../pci/pci-device.js';
import { type Call, OpenFile } from '../process.js';
import { bytesIn, bytesOut, structIn, structOut } from '../user-memory.js';
import type { VfioPci } from './vfio-pci.js';

/** A device that is reset together with others. */
export interface SetMember {
  readonly core: VfioPci;
  readonly groupId: number;
  readonly isOpen: boolean;
  readonly openedAsCdev: boolean;
  /** Its id in the iommufd; 0 when the iommufd owns its group without it; undefined when somebody else does. */
  deviceIdIn(iommufd: object | undefined): number | undefined;
  readonly iommufd: object | undefined;
}

/** Who tells which groups a descriptor stands for. */
export interface GroupFiles {
  /** undefined when it is no group's. */
  groupOf(file: OpenFile): number | undefined;
}

/** Devices on one bus behind a bridge, or one device on the root bus (vfio_device_set). */
export class DeviceSet {
  readonly members: SetMember[] = [];

  /** pci_probe_reset_bus() */
  get canReset(): boolean {
    return this.members[0]?.core.bus.canReset ?? false;
  }

  /** Every function of the bus must belong to VFIO (vfio_pci_dev_set_resettable). */
  get isComplete(): boolean {
    const bus = this.members[0]?.core.bus;
    return bus !== undefined && bus.members.length === this.members.length;
  }

  reset(): void {
    for (const { core } of this.members) core.power.setState(D0);
    this.members[0]?.core.bus.reset();
  }

  /** vfio_pci_dev_set_try_reset(): the last one out resets what could not be reset by itself. */
  tryReset(): void {
    if (this.members.some(({ isOpen }) => isOpen) || !this.members.some(({ core }) => core.needsReset))
      return;
    if (!this.canReset || !this.isComplete) return;
    this.members[0]?.core.bus.reset();
    for (const { core } of this.members) core.needsReset = false;
  }
}

const OWNED = 0;
const NOT_OWNED = -1;

export function hotResetInfo(call: Call, device: SetMember, set: DeviceSet): number {
  const header = structIn(call, HOT_RESET_INFO);
  if (header === undefined) return -EFAULT;
  const { argsz } = header;
  if (argsz < HOT_RESET_INFO.size) return -EINVAL;
  if (!set.canReset) return -ENODEV;
  const { members } = set;
  const room = Math.floor((argsz - HOT_RESET_INFO.size) / DEPENDENT_DEVICE.size);
  if (members.length > room) {
    const short = { argsz, flags: 0, count: members.length };
    return structOut(call, HOT_RESET_INFO, short) ? -ENOSPC : -EFAULT;
  }
  const byId = device.openedAsCdev;
  let flags = byId ? HOT_RESET_FLAGS.bits.DEV_ID | HOT_RESET_FLAGS.bits.DEV_ID_OWNED : 0;
  const list = new Uint8Array(members.length * DEPENDENT_DEVICE.size);
  members.forEach((member, i) => {
    const { segment, bus, device: slot, function: fn } = member.core.pci.address;
    let id = member.groupId;
    if (byId) {
      const owned = member.deviceIdIn(device.iommufd);
      id = owned === undefined ? NOT_OWNED : owned === 0 ? OWNED : owned;
      if (id === NOT_OWNED) flags &= ~HOT_RESET_FLAGS.bits.DEV_ID_OWNED;
    }
    const entry = { group_id: id >>> 0, segment, bus, devfn: (slot << 3) | fn };
    list.set(encode(DEPENDENT_DEVICE, entry), i * DEPENDENT_DEVICE.size);
  });
  if (!bytesOut(call.memory, call.argument + BigInt(HOT_RESET_INFO.size), list)) return -EFAULT;
  return structOut(call, HOT_RESET_INFO, { argsz, flags, count: members.length }) ? 0 : -EFAULT;
}

export function hotReset(call: Call, device: SetMember, set: DeviceSet, files: GroupFiles): number {
  const header = structIn(call, HOT_RESET);
  if (header === undefined) return -EFAULT;
  const { argsz, flags, count } = header;
  if (argsz < HOT_RESET.size || flags !== 0) return -EINVAL;
  // Groups are named by the group interface; a character device resets what its iommufd owns.
  const misused = count > 0 === device.openedAsCdev;
  // Before there were character devices, the bus was looked at first.
  if (misused && device.core.version !== '6.1') return -EINVAL;
  if (!set.canReset) return -ENODEV;
  if (misused) return -EINVAL;
  let owned: (member: SetMember) => boolean;
  if (count > 0) {
    if (count > set.members.length) return -EINVAL;
    const bytes = bytesIn(call.memory, call.argument + BigInt(HOT_RESET.size), 4 * count);
    if (bytes === undefined) return -EFAULT;
    const groups = new Set<number>();
    for (let i = 0; i < count; i++) {
      const file = call.process.file(readU32(bytes, 4 * i) | 0);
      if (file === undefined) return -EBADF;
      const group = file instanceof OpenFile ? files.groupOf(file) : undefined;
      if (group === undefined) return -EINVAL;
      groups.add(group);
    }
    owned = (member) => groups.has(member.groupId);
  } else {
    owned = (member) => member.deviceIdIn(device.iommufd) !== undefined;
  }
  if (!set.isComplete || !set.members.every(owned)) return -EINVAL;
  set.reset();
  return 0;
}
