// SPDX-License-Identifier: Apache-2.0
/** The type 1 IOMMU of a container: its domain, its mappings, its limits (drivers/vfio/vfio_iommu_type1.c). */
import {
  DMA_MAP,
  DMA_MAP_FLAGS,
  DMA_UNMAP,
  DMA_UNMAP_FLAGS,
  IOMMU_CAP_DMA_AVAIL,
  IOMMU_CAP_IOVA_RANGE,
  IOMMU_CAP_MIGRATION,
  IOMMU_INFO,
  IOMMU_INFO_FLAGS,
  TYPE1_IOCTLS,
} from '../../../abi/vfio/type1.js';
import { EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOTTY, EPERM } from '../errno.js';
import { capabilityChain, type InfoCapability } from '../info-capabilities.js';
import type { IommuGroup } from '../iommu/group.js';
import { type LockedMemory, PAGE, pageCount } from '../iommu/locked-memory.js';
import {
  type AddressSpace,
  DMA_READ,
  DMA_WRITE,
  type DmaMapping,
  MappingList,
  type MappingWatcher,
  nextSequence,
} from '../iommu/mappings.js';
import { LAST_ADDRESS, lower, overlaps, type Range, withoutAll } from '../iommu/ranges.js';
import type { Call, Process } from '../process.js';
import { handlers } from '../requests.js';
import { bytesOut, endOf, structIn, structOut } from '../user-memory.js';
import type { KernelVariant } from '../variant.js';
import {
  DIRTY_BITMAP_BYTES_MAX,
  type DirtyPages,
  dirtyPages,
  unmapBitmap,
  writeDirtyBits,
} from './dirty-pages.js';

/** dma_entry_limit */
const MAPPINGS_MAX = 65535;

/** One call of MAP_DMA. */
interface Type1Mapping extends DmaMapping {
  /** The process gave its address up, for another to take over (VFIO_DMA_UNMAP_FLAG_VADDR). */
  readonly vaddrInvalid: boolean;
  /** Pages that count against the process's limit, unless it may lock without one. */
  readonly pinned: bigint;
}

export class Type1 implements AddressSpace {
  readonly #groups: IommuGroup[] = [];
  readonly #mappings = new MappingList<Type1Mapping>();
  #ranges: readonly Range[] = [];
  #pageSizes = LAST_ADDRESS - (PAGE - 1n);
  #available = MAPPINGS_MAX;
  #tracksDirty = false;

  constructor(
    /** TYPE1v2: a mapping is not cut by an unmap. */
    readonly v2: boolean,
    readonly locked: LockedMemory,
    readonly variant: KernelVariant,
  ) {}

  watch(watcher: MappingWatcher): () => void {
    return this.#mappings.watch(watcher);
  }

  lookup(iova: bigint): DmaMapping | undefined {
    const mapping = this.#mappings.at(iova);
    return mapping?.vaddrInvalid === true ? undefined : mapping;
  }

  get mappings(): readonly DmaMapping[] {
    return this.#mappings.all;
  }

  get isCoherent(): boolean {
    return this.#groups.every(({ hardware }) => hardware?.enforcesCoherency ?? false);
  }

  /** vfio_iommu_type1_attach_group(): the group must fit what is mapped already. */
  attach(group: IommuGroup): number {
    const { hardware } = group;
    if (hardware === undefined || this.#groups.includes(group)) return -EINVAL;
    const conflict = [...hardware.reserved, beyond(hardware.lastIova)].some(
      (range) => range !== undefined && this.#mappings.first(range.start, range.last) !== undefined,
    );
    if (conflict) return -EINVAL;
    if (!this.variant.unsafeInterrupts && !hardware.isolatedMsi) return -EPERM;
    this.#groups.push(group);
    this.#refresh();
    group.domain = this;
    return 0;
  }

  /** vfio_iommu_type1_detach_group(): with the last group all mappings go. */
  detach(group: IommuGroup): void {
    const at = this.#groups.indexOf(group);
    if (at < 0) return;
    this.#groups.splice(at, 1);
    group.domain = undefined;
    if (this.#groups.length === 0) this.#removeAll();
    this.#refresh();
  }

  release(): void {
    for (const group of [...this.#groups]) this.detach(group);
    this.#removeAll();
  }

  #refresh(): void {
    const hardware = this.#groups.flatMap((group) => group.hardware ?? []);
    const last = hardware.reduce((least, { lastIova }) => lower(least, lastIova), LAST_ADDRESS);
    this.#ranges = withoutAll(
      hardware.length === 0 ? [] : [{ start: 0n, last }],
      hardware.flatMap(({ reserved }) => reserved),
    );
    const sizes = hardware.reduce((all, { pageSizes }) => all & pageSizes, LAST_ADDRESS);
    this.#pageSizes = hardware.length === 0 ? LAST_ADDRESS - (PAGE - 1n) : sizes;
  }

  get #pageSize(): bigint {
    return this.#pageSizes & -this.#pageSizes;
  }

  /** vfio_iommu_type1_ioctl() */
  ioctl(call: Call): number {
    return IOCTLS.get(call.request)?.(this, call) ?? -ENOTTY;
  }

  /** vfio_iommu_type1_get_info() */
  info(call: Call): number {
    const size = endOf(IOMMU_INFO, 'iova_pgsizes');
    const given = structIn(call, IOMMU_INFO, size);
    if (given === undefined) return -EFAULT;
    let { argsz } = given;
    if (argsz < size) return -EINVAL;
    const answered = Math.min(argsz, IOMMU_INFO.size);
    const chain = capabilityChain(
      this.#capabilities(),
      IOMMU_INFO.size,
      this.variant.version === '6.1' ? 4 : 8,
    );
    const needed = IOMMU_INFO.size + chain.length;
    let cap_offset = 0;
    if (argsz < needed) argsz = needed;
    else {
      if (!bytesOut(call.memory, call.argument + BigInt(IOMMU_INFO.size), chain)) return -EFAULT;
      cap_offset = IOMMU_INFO.size;
    }
    const flags = IOMMU_INFO_FLAGS.bits.PGSIZES | IOMMU_INFO_FLAGS.bits.CAPS;
    const values = { argsz, flags, iova_pgsizes: this.#pageSizes, cap_offset };
    return structOut(call, IOMMU_INFO, values, answered) ? 0 : -EFAULT;
  }

  #capabilities(): readonly InfoCapability[] {
    const migration = new DataView(new ArrayBuffer(24));
    migration.setBigUint64(8, this.#pageSize, true);
    migration.setBigUint64(16, BigInt(DIRTY_BITMAP_BYTES_MAX), true);
    const available = new DataView(new ArrayBuffer(4));
    available.setUint32(0, this.#available, true);
    const list: InfoCapability[] = [
      { id: IOMMU_CAP_MIGRATION, body: new Uint8Array(migration.buffer) },
      { id: IOMMU_CAP_DMA_AVAIL, body: new Uint8Array(available.buffer) },
    ];
    if (this.#ranges.length === 0) return list;
    const ranges = new DataView(new ArrayBuffer(8 + 16 * this.#ranges.length));
    ranges.setUint32(0, this.#ranges.length, true);
    this.#ranges.forEach(({ start, last }, i) => {
      ranges.setBigUint64(8 + 16 * i, start, true);
      ranges.setBigUint64(16 + 16 * i, last, true);
    });
    return [...list, { id: IOMMU_CAP_IOVA_RANGE, body: new Uint8Array(ranges.buffer) }];
  }

  /** vfio_iommu_type1_map_dma(), vfio_dma_do_map() */
  map(call: Call): number {
    const size = endOf(DMA_MAP, 'size');
    const given = structIn(call, DMA_MAP, size);
    if (given === undefined) return -EFAULT;
    const { READ, WRITE, VADDR } = DMA_MAP_FLAGS.bits;
    const { argsz, flags } = given;
    if (argsz < size || (flags & ~(READ | WRITE | VADDR)) !== 0) return -EINVAL;
    const protection = ((flags & READ) !== 0 ? DMA_READ : 0) | ((flags & WRITE) !== 0 ? DMA_WRITE : 0);
    const setVaddr = (flags & VADDR) !== 0;
    if ((protection !== 0) === setVaddr) return -EINVAL;
    const { vaddr, iova, size: length } = given;
    if (length === 0n || ((length | iova | vaddr) & (this.#pageSize - 1n)) !== 0n) return -EINVAL;
    const last = iova + length - 1n;
    if (last > LAST_ADDRESS || vaddr + length - 1n > LAST_ADDRESS) return -EINVAL;
    const found = this.#mappings.first(iova, last);
    if (setVaddr) return this.#takeOver(found, call.process, vaddr, { start: iova, last });
    if (found !== undefined) return -EEXIST;
    if (this.#available === 0) return -ENOSPC;
    if (!this.#ranges.some((range) => iova >= range.start && last <= range.last)) return -EINVAL;
    return this.#pin(call.process, { start: iova, last, address: vaddr, protection });
  }

  /** vfio_pin_map_dma() */
  #pin(process: Process, range: Range & Pick<DmaMapping, 'address' | 'protection'>): number {
    const size = range.last - range.start + 1n;
    const pages = process.pages(range.address, size, (range.protection & DMA_WRITE) !== 0);
    if (pages === 'fault') return -EFAULT;
    const device = pages === 'device';
    const pinned = device ? 0n : pageCount(size);
    if (!this.locked.add(process, pinned, process.capable('IPC_LOCK'))) return -ENOMEM;
    this.#available--;
    this.#mappings.insert({
      ...range,
      process,
      device,
      pinned,
      vaddrInvalid: false,
      sequence: nextSequence(),
    });
    return 0;
  }

  /** VFIO_DMA_MAP_FLAG_VADDR: the memory is now at another address, perhaps of another process. */
  #takeOver(found: Type1Mapping | undefined, process: Process, address: bigint, range: Range): number {
    if (found === undefined) return -ENOENT;
    if (!found.vaddrInvalid || found.start !== range.start || found.last !== range.last) return -EINVAL;
    if (process !== found.process) {
      if (!this.locked.add(process, found.pinned, process.capable('IPC_LOCK'))) return -ENOMEM;
      this.locked.remove(found.process, found.pinned);
    }
    this.#mappings.remove(found);
    this.#mappings.insert({ ...found, process, address, vaddrInvalid: false });
    return 0;
  }

  /** vfio_iommu_type1_unmap_dma(), vfio_dma_do_unmap() */
  unmap(call: Call): number {
    const size = endOf(DMA_UNMAP, 'size');
    const given = structIn(call, DMA_UNMAP, size);
    if (given === undefined) return -EFAULT;
    const { GET_DIRTY_BITMAP, ALL, VADDR } = DMA_UNMAP_FLAGS.bits;
    const { argsz, flags, iova } = given;
    if (argsz < size || (flags & ~(GET_DIRTY_BITMAP | ALL | VADDR)) !== 0) return -EINVAL;
    const wantsBitmap = (flags & GET_DIRTY_BITMAP) !== 0;
    if (wantsBitmap && (flags & (ALL | VADDR)) !== 0) return -EINVAL;
    const bitmap = wantsBitmap ? unmapBitmap(call, argsz, given.size) : undefined;
    if (typeof bitmap === 'number') return bitmap;
    const pageSize = this.#pageSize;
    if ((iova & (pageSize - 1n)) !== 0n) return -EINVAL;
    const all = (flags & ALL) !== 0;
    if (all ? iova !== 0n || given.size !== 0n : given.size === 0n || (given.size & (pageSize - 1n)) !== 0n)
      return -EINVAL;
    const last = all ? LAST_ADDRESS : iova + given.size - 1n;
    if (last > LAST_ADDRESS) return -EINVAL;
    if (bitmap !== undefined && (!this.#tracksDirty || bitmap.pageSize !== pageSize)) return -EINVAL;
    if (this.v2 && !all && this.#cuts({ start: iova, last })) return -EINVAL;
    // Type 1 of old: what begins inside the range goes as a whole; a range that begins inside a mapping does nothing.
    const found = this.#mappings.within(iova, last);
    const affected = this.v2 || all || found[0] === undefined || found[0].start >= iova ? found : [];
    const unmapped =
      (flags & VADDR) !== 0 ? this.#invalidate(affected) : this.#unmapAll(call, affected, iova, bitmap);
    if (unmapped < 0n) return Number(unmapped);
    return structOut(call, DMA_UNMAP, { ...given, size: unmapped }, size) ? 0 : -EFAULT;
  }

  /** Whether the range begins or ends inside a mapping. */
  #cuts({ start, last }: Range): boolean {
    const first = this.#mappings.at(start);
    const end = this.#mappings.at(last);
    return (first !== undefined && first.start !== start) || (end !== undefined && end.last !== last);
  }

  #unmapAll(
    call: Call,
    affected: readonly Type1Mapping[],
    base: bigint,
    bitmap: DirtyPages | undefined,
  ): bigint {
    const failed = affected.findIndex(
      (mapping) => bitmap !== undefined && !writeDirtyBits(call.memory, bitmap, base, mapping),
    );
    // What comes before a bitmap that can't be written is unmapped all the same.
    const run = failed < 0 ? affected : affected.slice(0, failed);
    this.#mappings.removeRun(run);
    for (const { process, pinned } of run) this.locked.remove(process, pinned);
    this.#available += run.length;
    if (failed >= 0) return BigInt(-EFAULT);
    return run.reduce((sum, { start, last }) => sum + last - start + 1n, 0n);
  }

  #invalidate(affected: readonly Type1Mapping[]): bigint {
    if (affected.some(({ vaddrInvalid }) => vaddrInvalid)) return BigInt(-EINVAL);
    for (const mapping of affected) {
      this.#mappings.remove(mapping);
      this.#mappings.insert({ ...mapping, vaddrInvalid: true });
    }
    return affected.reduce((sum, { start, last }) => sum + last - start + 1n, 0n);
  }

  #removeAll(): void {
    for (const mapping of this.#mappings.all) this.locked.remove(mapping.process, mapping.pinned);
    this.#available += this.#mappings.all.length;
    this.#mappings.clear();
  }

  /** vfio_iommu_type1_dirty_pages() */
  dirty(call: Call): number {
    return dirtyPages(call, {
      v2: this.v2,
      pageSize: this.#pageSize,
      tracking: this.#tracksDirty,
      setTracking: (on) => {
        this.#tracksDirty = on;
      },
      cuts: (range) => this.#cuts(range),
      // A range names mappings by their first byte.
      beginningIn: (range) =>
        this.#mappings
          .within(range.start, range.last)
          .filter(({ start }) => overlaps({ start, last: start }, range)),
    });
  }
}

function beyond(last: bigint): Range | undefined {
  return last === LAST_ADDRESS ? undefined : { start: last + 1n, last: LAST_ADDRESS };
}

const IOCTLS = handlers<[Type1, Call]>(TYPE1_IOCTLS, {
  VFIO_IOMMU_GET_INFO: (type1, call) => type1.info(call),
  VFIO_IOMMU_MAP_DMA: (type1, call) => type1.map(call),
  VFIO_IOMMU_UNMAP_DMA: (type1, call) => type1.unmap(call),
  VFIO_IOMMU_DIRTY_PAGES: (type1, call) => type1.dirty(call),
});
