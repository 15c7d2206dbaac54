// SPDX-License-Identifier: Apache-2.0
/** Regions of a device: their info, reads and writes (vfio_pci_rdwr.c), and loads and stores through a mapping. */
import { REGION_CAP_MSIX_MAPPABLE, REGION_FLAGS, REGION_INFO } from '../../../abi/vfio/region-info.js';
import { CONFIG_REGION, defaultRegionOffset, ROM_REGION } from '../../../abi/vfio/regions.js';
import type { Width } from '../../devices/device.js';
import type { VirtualConfig } from '../config/virtual-config.js';
import { EFAULT, EINVAL, EIO, ENOMEM } from '../errno.js';
import { capabilityChain, type InfoCapability } from '../info-capabilities.js';
import { loadBar, pieceWidth, storeBar, transferPiece } from '../pci/bar-access.js';
import { type PciDevice, ROM_RESOURCE } from '../pci/pci-device.js';
import type { Call, Mapping, MmapRequest, OpenFile } from '../process.js';
import { bytesOut, endOf, structIn, structOut } from '../user-memory.js';
import type { Power } from './power.js';

/** VFIO_PCI_NUM_REGIONS */
export const REGIONS = 9;

const OFFSET_SHIFT = 40n;
const OFFSET_MASK = (1n << OFFSET_SHIFT) - 1n;
const PAGE = 4096;

interface Excluded {
  readonly start: number;
  readonly end: number;
}

const nothing: Excluded = { start: 0, end: 0 };

export class Regions {
  constructor(
    readonly pci: PciDevice,
    readonly config: VirtualConfig,
    readonly power: Power,
    /** The widest piece of a read or write: 8 bytes since Linux 6.11. */
    readonly widest: Width,
  ) {}

  /** vfio_pci_ioctl_get_region_info() */
  info(call: Call): number {
    const size = endOf(REGION_INFO, 'offset');
    const given = structIn(call, REGION_INFO, size);
    if (given === undefined) return -EFAULT;
    const { index } = given;
    let { argsz } = given;
    if (argsz < size || index >= REGIONS || index > CONFIG_REGION) return -EINVAL;
    const capabilities: InfoCapability[] = [];
    let flags = this.#flags(index);
    if ((flags & REGION_FLAGS.bits.MMAP) !== 0 && index === this.pci.fn.msixTable?.table.bar)
      capabilities.push({ id: REGION_CAP_MSIX_MAPPABLE, body: new Uint8Array() });
    let cap_offset = given.cap_offset;
    if (capabilities.length > 0) {
      flags |= REGION_FLAGS.bits.CAPS;
      const chain = capabilityChain(capabilities, REGION_INFO.size);
      const needed = REGION_INFO.size + chain.length;
      cap_offset = 0;
      if (argsz < needed) argsz = needed;
      else {
        if (!bytesOut(call.memory, call.argument + BigInt(REGION_INFO.size), chain)) return -EFAULT;
        cap_offset = REGION_INFO.size;
      }
    }
    const offset = defaultRegionOffset(index);
    const values = { argsz, flags, index, cap_offset, size: BigInt(this.#size(index)), offset };
    return structOut(call, REGION_INFO, values, size) ? 0 : -EFAULT;
  }

  /** vfio_pci_core_read(), vfio_pci_core_write() */
  access(position: bigint, bytes: Uint8Array, write: boolean): number {
    if (bytes.length === 0) return 0;
    const index = Number(BigInt.asUintN(64, position) >> OFFSET_SHIFT);
    const offset = Number(position & OFFSET_MASK);
    if (index >= REGIONS) return -EINVAL;
    if (index === CONFIG_REGION) return this.#configAccess(offset, bytes, write);
    if (index > CONFIG_REGION) return -EINVAL;
    if (index === ROM_REGION) return write ? -EINVAL : this.#romRead(offset, bytes);
    return this.#barAccess(index, offset, bytes, write);
  }

  #configAccess(offset: number, bytes: Uint8Array, write: boolean): number {
    const done = this.config.access(offset, bytes, write);
    const { driver } = this.pci.fn.device;
    if (driver === undefined || done <= 0) return done;
    if (write) driver.configWrite(offset, bytes.subarray(0, done));
    else driver.configRead(offset, bytes.subarray(0, done));
    return done;
  }

  /** vfio_pci_core_mmap() */
  map(file: OpenFile, { offset, length, shared }: MmapRequest): Mapping | number {
    const index = Number(BigInt.asUintN(64, offset) >> OFFSET_SHIFT);
    const start = offset & OFFSET_MASK;
    if (index >= ROM_REGION || !shared || length <= 0n || !this.#canMap(index)) return -EINVAL;
    const size = BigInt(Math.ceil(this.#size(index) / PAGE) * PAGE);
    const pages = ((length + BigInt(PAGE) - 1n) / BigInt(PAGE)) * BigInt(PAGE);
    if (start + pages > size) return -EINVAL;
    file.hold();
    let mapped = true;
    const base = Number(start);
    return {
      region: index,
      offset: base,
      length: Number(length),
      load: (at, width) => this.#load(index, base + at, width),
      store: (at, width, value) => this.#store(index, base + at, width, value),
      unmap: () => {
        if (mapped) file.drop();
        mapped = false;
      },
    };
  }

  #size(index: number): number {
    if (index === CONFIG_REGION) return this.config.size;
    // The BAR's size, and nothing at all where no ROM is found behind it.
    if (index === ROM_REGION && !this.#hasRom) return 0;
    return this.pci.resources[index]?.size ?? 0;
  }

  #flags(index: number): number {
    const { READ, WRITE, MMAP } = REGION_FLAGS.bits;
    if (this.#size(index) === 0) return 0;
    if (index === ROM_REGION) return READ;
    return READ | WRITE | (index !== CONFIG_REGION && this.#canMap(index) ? MMAP : 0);
  }

  /** vfio_pci_probe_mmaps(): memory BARs that have their pages for themselves. */
  #canMap(index: number): boolean {
    const resource = this.pci.resources[index];
    if (resource === undefined || resource.io) return false;
    return resource.size >= PAGE || resource.start % BigInt(PAGE) === 0n;
  }

  get #hasRom(): boolean {
    const { rom } = this.pci.fn.pci;
    // pci_map_rom() looks for the signature.
    return rom !== undefined && rom.content[0] === 0x55 && rom.content[1] === 0xaa;
  }

  #romRead(offset: number, bytes: Uint8Array): number {
    const resource = this.pci.resources[ROM_RESOURCE];
    if (resource === undefined || offset >= resource.size) return -EINVAL;
    if (!this.#hasRom) return -ENOMEM;
    const count = Math.min(bytes.length, resource.size - offset);
    const end = this.pci.fn.pci.rom?.content.length ?? 0;
    for (let i = 0; i < count; i++) {
      if (offset + i < end && !this.config.memoryEnabled) return -EIO;
      bytes[i] = offset + i < end ? this.pci.fn.romRead(offset + i) : 0xff;
    }
    return count;
  }

  /** vfio_pci_bar_rw() and vfio_pci_core_do_io_rw(): aligned pieces around the MSI-X table, which is not given. */
  #barAccess(bar: number, offset: number, bytes: Uint8Array, write: boolean): number {
    const resource = this.pci.resources[bar];
    if (resource === undefined || offset >= resource.size) return -EINVAL;
    const count = Math.min(bytes.length, resource.size - offset);
    const excluded = this.#excluded(bar);
    let done = 0;
    while (done < count) {
      const at = offset + done;
      const rest = count - done;
      const fillable =
        at < excluded.start ? Math.min(rest, excluded.start - at) : at >= excluded.end ? rest : 0;
      if (fillable === 0) {
        const skipped = Math.min(rest, excluded.end - at);
        if (!write) bytes.fill(0xff, done, done + skipped);
        done += skipped;
        continue;
      }
      if (!resource.io && !this.config.memoryEnabled) return -EIO;
      const width = pieceWidth(at, fillable, this.widest);
      transferPiece(this.pci.fn, bar, at, bytes, done, width, write);
      done += width;
    }
    return done;
  }

  #excluded(bar: number): Excluded {
    const table = this.pci.fn.msixTable;
    if (table === undefined || table.table.bar !== bar) return nothing;
    return { start: table.table.offset, end: table.table.offset + table.vectors * 16 };
  }

  /** True where an ioeventfd would reach into the MSI-X table. */
  reachesTable(bar: number, offset: number, width: number): boolean {
    const { start, end } = this.#excluded(bar);
    return end > start && !(offset + width <= start || offset >= end);
  }

  /** vfio_pci_mmap_fault() decides whether there is a page. */
  #faults(): boolean {
    return this.power.engaged || !this.config.memoryEnabled;
  }

  #load(bar: number, at: number, width: Width): bigint | undefined {
    return this.#faults() ? undefined : loadBar(this.pci.fn, bar, at, width);
  }

  #store(bar: number, at: number, width: Width, value: bigint): boolean {
    if (this.#faults()) return false;
    storeBar(this.pci.fn, bar, at, width, value);
    return true;
  }
}
