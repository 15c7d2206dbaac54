// SPDX-License-Identifier: Apache-2.0
/** VFIO_DEVICE_IOEVENTFD: a write to an eventfd becomes a store to a register (vfio_pci_ioeventfd). */
import { IOEVENTFD } from '../../../abi/vfio/device.js';
import { ROM_REGION } from '../../../abi/vfio/regions.js';
import type { Width } from '../../devices/device.js';
import { EEXIST, EFAULT, EINVAL, ENODEV, ENOSPC } from '../errno.js';
import type { PciDevice } from '../pci/pci-device.js';
import type { Call } from '../process.js';
import { endOf, structIn } from '../user-memory.js';
import type { Regions } from './regions.js';
import { Virqfd } from './virqfd.js';

const MOST = 1000;

interface Ioeventfd {
  readonly bar: number;
  readonly offset: number;
  readonly width: Width;
  readonly data: bigint;
  readonly virqfd: Virqfd;
}

export class Ioeventfds {
  #list: Ioeventfd[] = [];

  constructor(
    readonly pci: PciDevice,
    readonly regions: Regions,
  ) {}

  set(call: Call): number {
    const size = endOf(IOEVENTFD, 'fd');
    const given = structIn(call, IOEVENTFD, size);
    if (given === undefined) return -EFAULT;
    const { argsz, flags, data, fd } = given;
    if (argsz < size || (flags & ~0xf) !== 0 || fd < -1) return -EINVAL;
    const width = [1, 2, 4, 8].find((one): one is Width => one === flags);
    if (width === undefined) return -EINVAL;
    const bar = Number(given.offset >> 40n);
    const offset = Number(given.offset & ((1n << 40n) - 1n));
    if (bar >= ROM_REGION) return -EINVAL;
    const length = this.pci.resources[bar]?.size ?? 0;
    if (offset + width > length || this.regions.reachesTable(bar, offset, width)) return -EINVAL;
    const same = this.#list.find(
      (one) => one.bar === bar && one.offset === offset && one.width === width && one.data === data,
    );
    if (same !== undefined) {
      if (fd !== -1) return -EEXIST;
      same.virqfd.disable();
      this.#list = this.#list.filter((one) => one !== same);
      return 0;
    }
    if (fd < 0) return -ENODEV;
    if (this.#list.length >= MOST) return -ENOSPC;
    const virqfd = new Virqfd();
    const result = virqfd.enable(call.process, fd, () => this.#store(bar, offset, width, data));
    if (result === 0) this.#list.push({ bar, offset, width, data, virqfd });
    return result;
  }

  release(): void {
    for (const { virqfd } of this.#list) virqfd.disable();
    this.#list = [];
  }

  #store(bar: number, offset: number, width: Width, data: bigint): void {
    if (this.pci.resources[bar]?.io !== true && !this.regions.config.memoryEnabled) return;
    this.pci.fn.barWrite(bar, offset - (offset % width), width, BigInt.asUintN(8 * width, data));
  }
}
