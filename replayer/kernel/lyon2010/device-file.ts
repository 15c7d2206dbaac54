// SPDX-License-Identifier: Apache-2.0
/** One open of /dev/vfioN (vfio_main.c: vfio_fops). */
import { LYON_BAR_LEN, LYON_IOCTLS, LYON_V2_IOCTLS } from '../../../abi/lyon2010/ioctls.js';
import { lyonRegionIndex, lyonRegisterOffset } from '../../../abi/lyon2010/regions.js';
import { LYON_DEVICE } from '../../../abi/object-kinds.js';
import { CONFIG_REGION, ROM_REGION } from '../../../abi/vfio/regions.js';
import { EFAULT, EINVAL, ENOTTY } from '../errno.js';
import type { LockedMemory } from '../iommu/locked-memory.js';
import { type Call, type Mapping, type MmapRequest, OpenFile, type Process } from '../process.js';
import { handlers } from '../requests.js';
import { structIn, structOut } from '../user-memory.js';
import { LyonDmaMaps } from './dma-maps.js';
import type { LyonDevice } from './lyon-device.js';

/** What the posting of June 2010 had and the last version has not. */
const GONE: ReadonlySet<number> = new Set(LYON_V2_IOCTLS.map(({ request }) => request));

export class LyonDeviceFile extends OpenFile {
  readonly kind = LYON_DEVICE;
  readonly maps: LyonDmaMaps;

  constructor(
    readonly device: LyonDevice,
    locked: LockedMemory,
    readonly closed: (file: LyonDeviceFile) => void,
  ) {
    super();
    this.maps = new LyonDmaMaps(locked, (pages, mappings) => device.count(pages, mappings));
  }

  /** vfio_unl_ioctl(): a number that means nothing is EINVAL there; "gone" is said so, in the way of today. */
  override ioctl(call: Call): number {
    const handler = IOCTLS.get(call.request);
    if (handler !== undefined) return handler(this, call);
    return GONE.has(call.request) ? -ENOTTY : -EINVAL;
  }

  /** Config space can be read at once, everything else wants a domain first. */
  override pread(into: Uint8Array, offset: bigint): number {
    if (lyonRegionIndex(offset) === CONFIG_REGION) return this.#config(into, offset, false);
    return this.device.domain === undefined ? -EINVAL : this.device.regions.access(offset, into, false);
  }

  override pwrite(from: Uint8Array, offset: bigint): number {
    if (this.device.domain === undefined) return -EINVAL;
    if (lyonRegionIndex(offset) === CONFIG_REGION) return this.#config(from, offset, true);
    return this.device.regions.access(offset, from, true);
  }

  override mmap(request: MmapRequest): Mapping | number {
    return this.device.domain === undefined ? -EINVAL : this.device.regions.map(this, request);
  }

  memoryGone(process: Process, start: bigint, end: bigint): void {
    this.maps.memoryGone(process, start, end);
  }

  #config(bytes: Uint8Array, offset: bigint, write: boolean): number {
    const at = Number(lyonRegisterOffset(offset) & 0xffffn);
    const done = this.device.config.access(at, bytes, write);
    const { driver } = this.device.host.pci.fn.device;
    if (driver === undefined || done <= 0) return done;
    if (write) driver.configWrite(at, bytes.subarray(0, done));
    else driver.configRead(at, bytes.subarray(0, done));
    return done;
  }

  map(call: Call): number {
    this.maps.sweep();
    return this.maps.map(call, this.device.domain);
  }

  unmap(call: Call): number {
    this.maps.sweep();
    return this.maps.unmap(call);
  }

  unsetDomain(): number {
    this.maps.sweep();
    return this.device.unsetDomain();
  }

  /** VFIO_BAR_LEN: the number of the BAR, 6 for the ROM, becomes its length. */
  barLength(call: Call): number {
    const given = structIn(call, LYON_BAR_LEN);
    if (given === undefined) return -EFAULT;
    if (given.bar > ROM_REGION) return -EINVAL;
    const bar = this.device.regions.length(given.bar);
    return structOut(call, LYON_BAR_LEN, { bar }) ? 0 : -EFAULT;
  }

  protected override released(): void {
    this.maps.release();
    this.device.close();
    this.closed(this);
  }
}

const IOCTLS = handlers<[LyonDeviceFile, Call]>(LYON_IOCTLS, {
  VFIO_DMA_MAP_IOVA: (file, call) => file.map(call),
  VFIO_DMA_UNMAP: (file, call) => file.unmap(call),
  VFIO_EVENTFD_IRQ: ({ device }, call) => device.interrupts.setLine(call),
  VFIO_EVENTFDS_MSI: ({ device }, call) => device.interrupts.setVectors(call, 'msi'),
  VFIO_EVENTFDS_MSIX: ({ device }, call) => device.interrupts.setVectors(call, 'msix'),
  VFIO_BAR_LEN: (file, call) => file.barLength(call),
  VFIO_DOMAIN_SET: ({ device }, call) => device.setDomain(call),
  VFIO_DOMAIN_UNSET: (file) => file.unsetDomain(),
  VFIO_IRQ_EOI: ({ device }) => device.interrupts.endOfInterrupt(),
  VFIO_IRQ_EOI_EVENTFD: ({ device }, call) => device.interrupts.setEndOfInterrupt(call),
});
