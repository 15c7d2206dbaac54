// SPDX-License-Identifier: Apache-2.0
/**
 * The first VFIO, by Tom Lyon: /dev/vfioN and /dev/uiommu, as the last version that is known had them (November 2010), and
 * as his mail of June 2010 promised them. docs/lyon2010.md says where the two differ.
 */
import { SIM_NETLINK } from '../../../abi/wire/sim.js';
import { ENODEV, ENOENT } from '../errno.js';
import type { LockedMemory } from '../iommu/locked-memory.js';
import type { HostFunction } from '../machine.js';
import type { KernelInterface, OpenFile, Process } from '../process.js';
import type { KernelVariant } from '../variant.js';
import { LyonDeviceFile } from './device-file.js';
import { LyonDevice } from './lyon-device.js';
import { LyonNetlink } from './netlink.js';
import { NetlinkSocket } from './netlink-socket.js';
import { Suspend, type SuspendOutcome } from './suspend.js';
import { Uiommu } from './uiommu.js';
import { whyNotWellBehaved } from './well-behaved.js';

const DEVICE_PATH = /^\/dev\/vfio(\d+)$/;

/** A function that its probe() refused. */
export interface Refused {
  readonly name: string;
  readonly reason: string;
}

export class Lyon2010 implements KernelInterface {
  readonly refused: readonly Refused[];
  readonly netlink = new LyonNetlink(() => this.devices);
  readonly #files = new Set<LyonDeviceFile>();
  #devices: readonly LyonDevice[];
  #suspend: Promise<SuspendOutcome> | undefined;

  constructor(
    functions: readonly HostFunction[],
    variant: KernelVariant,
    readonly locked: LockedMemory,
  ) {
    const refused: Refused[] = [];
    const devices: LyonDevice[] = [];
    for (const host of functions.filter(({ bound }) => bound)) {
      const reason = host.group.hardware === undefined ? 'there is no IOMMU' : whyNotWellBehaved(host.pci);
      if (reason === undefined)
        devices.push(new LyonDevice(host, variant, devices.length, (device) => this.remove(device.name)));
      else refused.push({ name: host.pci.name, reason });
    }
    this.refused = refused;
    this.#devices = devices;
  }

  /** Those that are there: one that is removed goes with its last descriptor. */
  get devices(): readonly LyonDevice[] {
    return this.#devices;
  }

  get nodes(): readonly string[] {
    // device_destroy() comes when nobody has it any more: until then an open is ENODEV.
    return ['/dev/uiommu', ...this.#devices.map(({ index }) => `/dev/vfio${index}`)];
  }

  open(process: Process, path: string): OpenFile | number {
    if (path === '/dev/uiommu') return new Uiommu();
    if (path === SIM_NETLINK) return new NetlinkSocket(this.netlink, process.pid);
    const number = DEVICE_PATH.exec(path)?.[1];
    if (number === undefined) return -ENOENT;
    const device = this.#devices.find(({ index, removed }) => index === Number(number) && !removed);
    if (device === undefined) return -ENODEV;
    const result = device.open();
    if (result !== 0) return result;
    const file = new LyonDeviceFile(device, this.locked, (closed) => {
      this.#files.delete(closed);
      this.#forget(device);
    });
    this.#files.add(file);
    return file;
  }

  memoryGone(process: Process, start: bigint, end: bigint): void {
    for (const file of this.#files) file.memoryGone(process, start, end);
  }

  /** Copy-on-write reaches the MMU notifier as a loss (copy_page_range): mappings of private memory go. */
  forked(process: Process): void {
    const files = [...this.#files].filter(({ maps }) => maps.hasMappingsOf(process));
    if (files.length === 0) return;
    for (const { from, to } of process.copiedOnFork?.() ?? [])
      for (const file of files) file.memoryGone(process, from, to);
  }

  /**
   * vfio_remove(): hot-unplug, or unbinding by the administrator. No further opens, drivers that registered are told, and the
   * device is gone when the last of them has closed it: until then it waits, for ever if need be. How many were told.
   */
  remove(name: string): number {
    const device = this.#devices.find((one) => one.name === name && !one.removed);
    if (device === undefined) return 0;
    device.removed = true;
    const told = this.netlink.remove(device);
    this.#forget(device);
    return told;
  }

  /** The machine is to sleep (vfio_pm_notify): whether it may, and why not. */
  suspend(): Promise<SuspendOutcome> {
    this.#suspend ??= new Suspend(this.netlink, () => this.devices).outcome.finally(() => {
      this.#suspend = undefined;
    });
    return this.#suspend;
  }

  #forget(device: LyonDevice): void {
    if (device.removed && !device.isOpen) this.#devices = this.#devices.filter((one) => one !== device);
  }
}
