// SPDX-License-Identifier: Apache-2.0
/** An iommufd: /dev/iommu, its objects and its ioctls (drivers/iommu/iommufd). */
import { decode, encode, type Layout, type Values } from '../../../abi/layout.js';
import { IOMMUFD } from '../../../abi/object-kinds.js';
import { E2BIG, EFAULT, EINVAL, ENODEV, ENOENT, EPERM } from '../errno.js';
import type { IommuGroup } from '../iommu/group.js';
import type { IommuHardware } from '../iommu/hardware.js';
import type { LockedMemory } from '../iommu/locked-memory.js';
import { type Call, OpenFile } from '../process.js';
import { bytesIn, bytesOut } from '../user-memory.js';
import type { KernelVariant } from '../variant.js';
import { IoPageTable } from './io-page-table.js';
import { IommufdObject, ObjectTable } from './objects.js';

export class Ioas extends IommufdObject {
  readonly table: IoPageTable;
  readonly hwpts: Hwpt[] = [];

  constructor(locked: LockedMemory) {
    super();
    this.table = new IoPageTable(locked);
  }

  override destroy(): void {
    this.table.unmapAll();
  }
}

/** A hardware page table: one IOMMU domain filled from an IOAS. */
export class Hwpt extends IommufdObject {
  constructor(
    readonly ioas: Ioas,
    readonly hardware: IommuHardware,
    /** Made for an attach to an IOAS, and gone with the last device. */
    readonly automatic: boolean,
  ) {
    super();
    ioas.users++;
    ioas.hwpts.push(this);
  }

  override destroy(): void {
    this.ioas.table.removeDomain(this);
    this.ioas.hwpts.splice(this.ioas.hwpts.indexOf(this), 1);
    this.ioas.users--;
  }
}

/** A device that was bound to the iommufd. */
export class BoundDevice extends IommufdObject {
  hwpt: Hwpt | undefined;

  constructor(
    readonly group: IommuGroup,
    readonly hardware: IommuHardware,
  ) {
    super();
    // The driver of the device holds it until it is closed.
    this.users = 1;
  }
}

export class Iommufd extends OpenFile {
  readonly kind = IOMMUFD;
  readonly objects = new ObjectTable();
  /** The IOAS that VFIO's old ioctls mean. */
  compatIoas: Ioas | undefined;
  noiommu = false;
  /** IOMMU_OPTION_RLIMIT_MODE: count by process, as VFIO does, not by user. */
  rlimitByProcess = false;
  readonly #bound: BoundDevice[] = [];

  constructor(
    readonly variant: KernelVariant,
    readonly locked: LockedMemory,
    readonly handle: (iommufd: Iommufd, call: Call) => number,
  ) {
    super();
  }

  override ioctl(call: Call): number {
    return this.handle(this, call);
  }

  ioas(id: number): Ioas | undefined {
    const object = this.objects.get(id);
    return object instanceof Ioas ? object : undefined;
  }

  allocateIoas(): Ioas {
    return this.objects.add(new Ioas(this.locked));
  }

  /** IOMMU_DESTROY, which also forgets the IOAS of the old ioctls. */
  destroy(id: number): number {
    const object = this.objects.get(id);
    const result = this.objects.remove(id);
    if (result === 0 && object === this.compatIoas) this.compatIoas = undefined;
    return result;
  }

  /** iommufd_vfio_compat_ioas_create(): a group was given this iommufd as its container. */
  useAsContainer(noiommu: boolean): number {
    if (noiommu) {
      if (this.compatIoas !== undefined) return -EINVAL;
      this.noiommu = true;
      return 0;
    }
    if (this.noiommu) return -EINVAL;
    this.compatIoas ??= this.allocateIoas();
    return 0;
  }

  /** iommufd_device_bind() */
  bind(group: IommuGroup): BoundDevice | number {
    const { hardware } = group;
    if (hardware === undefined) return -ENODEV;
    if (!hardware.isolatedMsi && !this.variant.unsafeInterrupts) return -EPERM;
    const claimed = group.claimForDevice(this);
    if (claimed !== 0) return claimed;
    const device = this.objects.add(new BoundDevice(group, hardware));
    this.#bound.push(device);
    this.hold();
    return device;
  }

  unbind(device: BoundDevice): void {
    this.detach(device);
    device.users = 0;
    this.objects.remove(device.id);
    this.#bound.splice(this.#bound.indexOf(device), 1);
    device.group.release();
    this.drop();
  }

  /** iommufd_ctx_has_group() */
  hasGroup(group: IommuGroup): boolean {
    return this.#bound.some((device) => device.group === group);
  }

  /** iommufd_device_attach() and iommufd_device_replace(): the id of the page table, or a negative errno. */
  attach(device: BoundDevice, id: number): number {
    const target = this.objects.get(id);
    if (target === undefined) return -ENOENT;
    if (target instanceof Hwpt) return this.#attachTo(device, target);
    if (!(target instanceof Ioas)) return -EINVAL;
    const existing = target.hwpts.find((one) => one.automatic && one.hardware === device.hardware);
    if (existing !== undefined) return this.#attachTo(device, existing);
    const hwpt = this.allocateHwpt(target, device, true);
    if (typeof hwpt === 'number') return hwpt;
    const result = this.#attachTo(device, hwpt);
    if (result < 0) this.objects.remove(hwpt.id);
    return result;
  }

  /** iommufd_hwpt_paging_alloc() */
  allocateHwpt(ioas: Ioas, device: BoundDevice, automatic: boolean): Hwpt | number {
    const { hardware } = device;
    const hwpt = new Hwpt(ioas, hardware, automatic);
    const rangeless = hardware.lateRange === true && !automatic;
    const result = ioas.table.addDomain(hwpt, rangeless ? { ...hardware, lastIova: 0n } : hardware);
    if (result !== 0) {
      hwpt.destroy();
      return result;
    }
    return this.objects.add(hwpt);
  }

  #attachTo(device: BoundDevice, hwpt: Hwpt): number {
    if (device.hwpt === hwpt) return hwpt.id;
    // Devices of a group share one domain; all follow where the first one goes.
    const others = this.#bound.filter(
      (one) => one !== device && one.group === device.group && one.hwpt !== undefined,
    );
    if (device.hwpt === undefined && others.some((one) => one.hwpt !== hwpt)) return -EINVAL;
    const { table } = hwpt.ioas;
    for (const range of device.hardware.reserved) {
      if (device.hwpt?.ioas === hwpt.ioas) break;
      const result = table.reserve(range, device);
      if (result === 0) continue;
      table.unreserve(device);
      return result;
    }
    const moved = device.hwpt === undefined ? [device] : [device, ...others];
    for (const one of moved) this.#move(one, hwpt);
    device.group.domain = table;
    return hwpt.id;
  }

  #move(device: BoundDevice, hwpt: Hwpt): void {
    const old = device.hwpt;
    hwpt.users++;
    device.hwpt = hwpt;
    if (old === undefined) {
      device.users++;
      return;
    }
    if (old.ioas !== hwpt.ioas) old.ioas.table.unreserve(device);
    this.#put(old);
  }

  /** iommufd_device_detach() */
  detach(device: BoundDevice): void {
    const { hwpt } = device;
    if (hwpt === undefined) return;
    device.hwpt = undefined;
    device.users--;
    if (!this.#bound.some((one) => one.group === device.group && one.hwpt !== undefined))
      device.group.domain = undefined;
    hwpt.ioas.table.unreserve(device);
    this.#put(hwpt);
  }

  /** iommufd_hw_pagetable_put(): an automatic page table goes with its last device. */
  #put(hwpt: Hwpt): void {
    hwpt.users--;
    if (hwpt.automatic && hwpt.users === 0) this.objects.remove(hwpt.id);
  }

  protected override released(): void {
    this.compatIoas = undefined;
    this.objects.removeAll();
  }
}

/**
 * The structure of an iommufd ioctl (iommufd_fops_ioctl): shorter than the kernel's is padded with zeros, longer may
 * only have zeros behind.
 */
export function commandIn<L extends Layout>(
  call: Call,
  layout: L,
  least: number,
): { readonly values: Values<L>; readonly userSize: number } | number {
  const head = bytesIn(call.memory, call.argument, 4);
  if (head === undefined) return -EFAULT;
  const userSize = new DataView(head.buffer).getUint32(0, true);
  if (userSize < least) return -EINVAL;
  // copy_struct_from_user() looks at every byte behind; no honest caller has a page of them.
  if (userSize > 4096 && userSize > layout.size) return -E2BIG;
  const bytes = bytesIn(call.memory, call.argument, userSize);
  if (bytes === undefined) return -EFAULT;
  if (bytes.subarray(layout.size).some((byte) => byte !== 0)) return -E2BIG;
  const padded = new Uint8Array(layout.size);
  padded.set(bytes.subarray(0, layout.size));
  return { values: decode(layout, padded) as Values<L>, userSize };
}

/** iommufd_ucmd_respond(): no more than the caller has room for. */
export function respond<L extends Layout>(
  call: Call,
  layout: L,
  values: Values<L>,
  userSize: number,
): number {
  const size = Math.min(userSize, layout.size);
  return bytesOut(call.memory, call.argument, encode(layout, values, size)) ? 0 : -EFAULT;
}
