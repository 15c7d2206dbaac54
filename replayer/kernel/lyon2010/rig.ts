// SPDX-License-Identifier: Apache-2.0
/** What the tests of the interface of 2010 share: a machine, a driver on it, and the calls of that time. */
import assert from 'node:assert/strict';
import { LYON_BAR_LEN, LYON_DMA_MAP, LYON_FD } from '../../../abi/lyon2010/ioctls.js';
import { lyonRegionOffset } from '../../../abi/lyon2010/regions.js';
import { express, msi, msix } from '../../devices/pci/capabilities.js';
import type { PciDescription } from '../../devices/pci/description.js';
import { SimulatedKernel } from '../kernel.js';
import { answer, LocalDriver, littleEndian, number } from '../local-driver.js';
import { LocalProcess } from '../local-process.js';
import type { DeviceSlot } from '../topology.js';
import { parseVariant } from '../variant.js';

export const CONFIG = lyonRegionOffset(7);
export const COMMAND = 0x04;
export const MASTER = 0x0004;
export const DISABLE_INTX = 0x0400;

/** A card with a BAR of four pages, INTx, four MSI and four MSI-X vectors with a page for themselves, and FLR. */
export const CARD: PciDescription = {
  vendor: 0x8086,
  device: 0x10ca,
  classCode: 0x020000,
  interruptPin: 1,
  bars: [{ size: 0x4000, kind: 'memory32' }],
  configSize: 4096,
  capabilities: [
    msi({ offset: 0x50, vectors: 4 }),
    msix({ offset: 0x70, vectors: 4, table: { bar: 0, offset: 0x2000 }, pba: { bar: 0, offset: 0x3000 } }),
    express({ offset: 0xa0, flr: true }),
  ],
};

/** The same without anything that resets it. */
export const UNRESETTABLE: PciDescription = {
  ...CARD,
  capabilities: CARD.capabilities.slice(0, 2),
};

export class Rig {
  readonly kernel: SimulatedKernel;
  readonly process: LocalProcess;
  readonly driver: LocalDriver;

  constructor(
    devices: readonly DeviceSlot[],
    { variant = '', memlock }: { readonly variant?: string; readonly memlock?: bigint } = {},
  ) {
    this.kernel = new SimulatedKernel({
      variant: parseVariant(variant),
      abi: 'lyon2010',
      devices,
      schedule: () => {},
    });
    this.process = new LocalProcess(memlock === undefined ? {} : { memlock });
    this.driver = new LocalDriver(this.kernel, this.process);
  }

  /** The host's view of the first function. */
  get host() {
    const [pci] = this.kernel.functions;
    assert.ok(pci);
    return pci;
  }
  get device() {
    const device = this.kernel.lyon?.devices[0];
    assert.ok(device);
    return device;
  }

  open(path = '/dev/vfio0'): number {
    return this.driver.open(path);
  }

  /** With a domain of its own, so that everything can be done. */
  openWithDomain(): number {
    const fd = this.open();
    assert.ok(fd >= 0, answer(fd));
    assert.equal(this.fdCall(fd, 'VFIO_DOMAIN_SET', this.open('/dev/uiommu')), '0');
    return fd;
  }

  fdCall(fd: number, request: string, given: number): string {
    return answer(this.driver.ioctl(fd, request, LYON_FD, { fd: given }).result);
  }

  vectors(fd: number, request: 'VFIO_EVENTFDS_MSI' | 'VFIO_EVENTFDS_MSIX', fds: readonly number[]): string {
    const words = [fds.length, ...fds].flatMap((one) => [...littleEndian(one, 4)]);
    return answer(this.driver.ioctlBytes(fd, request, Uint8Array.from(words)));
  }

  barLength(fd: number, bar: number): number | string {
    const { result, values } = this.driver.ioctl(fd, 'VFIO_BAR_LEN', LYON_BAR_LEN, { bar });
    return result === 0 ? values.bar : answer(result);
  }

  map(fd: number, vaddr: bigint, dmaaddr: bigint, size: bigint, flags = 1n): string {
    const given = { vaddr, dmaaddr, size, flags };
    return answer(this.driver.ioctl(fd, 'VFIO_DMA_MAP_IOVA', LYON_DMA_MAP, given).result);
  }

  unmap(fd: number, vaddr: bigint, size: bigint): string {
    return answer(this.driver.ioctl(fd, 'VFIO_DMA_UNMAP', LYON_DMA_MAP, { vaddr, size }).result);
  }

  config(fd: number, at: number, width: 1 | 2 | 4 = 2): number {
    const { result, bytes } = this.driver.pread(fd, CONFIG + BigInt(at), width);
    assert.equal(result, width);
    return number(bytes);
  }

  setConfig(fd: number, at: number, value: number, width: 1 | 2 | 4 = 2): string {
    return answer(this.driver.pwrite(fd, CONFIG + BigInt(at), littleEndian(value, width)));
  }
}
