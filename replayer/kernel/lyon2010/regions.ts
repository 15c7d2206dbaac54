// SPDX-License-Identifier: Apache-2.0
/** BARs and ROM of /dev/vfioN: reads, writes and mappings (vfio_rdwr.c and vfio_mmap of 2010). */
import { lyonRegionIndex, lyonRegisterOffset } from '../../../abi/lyon2010/regions.js';
import { ROM_REGION } from '../../../abi/vfio/regions.js';
import { EINVAL } from '../errno.js';
import { loadBar, pieceWidth, storeBar, transferPiece } from '../pci/bar-access.js';
import { type PciDevice, ROM_RESOURCE } from '../pci/pci-device.js';
import type { Mapping, MmapRequest, OpenFile } from '../process.js';

const PAGE = 4096;

export class LyonRegions {
  constructor(readonly pci: PciDevice) {}

  /** VFIO_BAR_LEN: 0 where there is none. */
  length(bar: number): number {
    return this.pci.resources[bar]?.size ?? 0;
  }

  /** vfio_io_readwrite(), vfio_mem_readwrite() */
  access(position: bigint, bytes: Uint8Array, write: boolean): number {
    const region = lyonRegionIndex(position);
    const offset = Number(lyonRegisterOffset(position));
    if (region === ROM_REGION) return write ? -EINVAL : this.#rom(offset, bytes);
    const resource = region === undefined ? undefined : this.pci.resources[region];
    if (region === undefined || resource === undefined) return -EINVAL;
    if (offset > resource.size || (resource.io && offset + bytes.length > resource.size)) return -EINVAL;
    const count = Math.min(bytes.length, resource.size - offset);
    if (write && !resource.io && this.#reachesTable(region, offset, count)) return -EINVAL;
    for (let done = 0; done < count; ) {
      const width = pieceWidth(offset + done, count - done, 4);
      transferPiece(this.pci.fn, region, offset + done, bytes, done, width, write);
      done += width;
    }
    return count;
  }

  /**
   * Memory BARs, shared, whole pages. The kernel did not look whether a mapping that begins inside a BAR ends inside it;
   * here one that does not is EINVAL, since what lies beyond is nobody's.
   */
  map(file: OpenFile, { offset, length, shared, writable = true }: MmapRequest): Mapping | number {
    const region = lyonRegionIndex(offset);
    const resource = region === undefined ? undefined : this.pci.resources[region];
    if (!shared || region === undefined || region >= ROM_REGION || resource === undefined || resource.io)
      return -EINVAL;
    const start = Number(lyonRegisterOffset(offset));
    const whole = Math.floor(resource.size / PAGE) * PAGE;
    const end = start + Math.ceil(Number(length) / PAGE) * PAGE;
    if (end > whole || (writable && this.#reachesTable(region, start, end - start))) return -EINVAL;
    file.hold();
    let mapped = true;
    return {
      region,
      offset: start,
      length: Number(length),
      // Without a fault handler that could refuse: a mapping outlives whatever is done to the device.
      load: (at, width) => loadBar(this.pci.fn, region, start + at, width),
      store: (at, width, value) => {
        storeBar(this.pci.fn, region, start + at, width, value);
        return true;
      },
      unmap: () => {
        if (mapped) file.drop();
        mapped = false;
      },
    };
  }

  /**
   * Whether a page of the MSI-X table is touched (vfio_msix_check): of every BAR, and whether or not interrupts are remapped,
   * as promised; the code of the time looked at BAR 0 only, and only with allow_unsafe_intrs.
   */
  #reachesTable(region: number, offset: number, length: number): boolean {
    const table = this.pci.fn.msixTable;
    if (table === undefined || table.table.bar !== region || length === 0) return false;
    const first = Math.floor(table.table.offset / PAGE);
    const end = Math.ceil((table.table.offset + table.vectors * 16) / PAGE);
    return Math.floor(offset / PAGE) < end && Math.ceil((offset + length) / PAGE) > first;
  }

  #rom(offset: number, bytes: Uint8Array): number {
    const resource = this.pci.resources[ROM_RESOURCE];
    const content = this.pci.fn.pci.rom?.content;
    if (resource === undefined || content === undefined || offset > resource.size) return -EINVAL;
    const count = Math.min(bytes.length, resource.size - offset);
    for (let i = 0; i < count; i++) bytes[i] = this.pci.fn.romRead(offset + i);
    return count;
  }
}
