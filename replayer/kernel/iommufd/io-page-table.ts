// SPDX-License-Identifier: Apache-2.0
/** The I/O page table of an IOAS: areas, what is allowed and what is reserved (drivers/iommu/iommufd/io_pagetable.c). */
import { EADDRINUSE, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, EOVERFLOW, EPERM } from '../errno.js';
import type { IommuHardware } from '../iommu/hardware.js';
import { type LockedMemory, PAGE, pageCount } from '../iommu/locked-memory.js';
import {
  type AddressSpace,
  DMA_WRITE,
  type DmaMapping,
  MappingList,
  type MappingWatcher,
  nextSequence,
} from '../iommu/mappings.js';
import { higher, LAST_ADDRESS, lower, overlaps, type Range, withoutAll } from '../iommu/ranges.js';
import type { Process } from '../process.js';

/** How an area's pages count against RLIMIT_MEMLOCK. */
export type Accounting = 'none' | 'limited';

/** Pages that areas share (struct iopt_pages); pinned once somebody's device can reach them. */
export interface Pages {
  readonly process: Process;
  readonly address: bigint;
  readonly length: bigint;
  readonly writable: boolean;
  readonly accounting: Accounting;
}

interface Area extends DmaMapping {
  readonly pages: Pages;
}

interface Reserved extends Range {
  readonly owner: object;
}

/** The largest alignment that an allocated IOVA keeps: that of a transparent huge page. */
const HUGE_PAGE = 0x20_0000n;
const MASK = LAST_ADDRESS;

export class IoPageTable implements AddressSpace {
  readonly #areas = new MappingList<Area>();
  readonly #domains = new Map<object, IommuHardware>();
  readonly #pinned = new Map<Pages, number>();
  #reserved: readonly Reserved[] = [];
  #allowed: readonly Range[] = [];
  #largePagesDisabled = false;
  alignment = 1n;

  constructor(readonly locked: LockedMemory) {}

  watch(watcher: MappingWatcher): () => void {
    return this.#areas.watch(watcher);
  }

  lookup(iova: bigint): DmaMapping | undefined {
    return this.#areas.at(iova);
  }

  get mappings(): readonly DmaMapping[] {
    return this.#areas.all;
  }

  get largePagesDisabled(): boolean {
    return this.#largePagesDisabled;
  }

  /** iopt_disable_large_pages(): areas that need large pages must not exist. */
  setLargePages(enabled: boolean): number {
    if (!enabled && this.#alignmentBreaks(PAGE)) return -EADDRINUSE;
    this.#largePagesDisabled = !enabled;
    this.#recalculateAlignment();
    return 0;
  }

  /** IOMMU_IOAS_IOVA_RANGES */
  get usable(): readonly Range[] {
    return withoutAll([{ start: 0n, last: LAST_ADDRESS }], this.#reserved);
  }

  /** Page sizes that all domains have (iommufd_get_pagesizes). */
  get pageSizes(): bigint {
    const sizes = [...this.#domains.values()].reduce((all, { pageSizes }) => all & pageSizes, MASK);
    const shown = (sizes & (PAGE - 1n)) !== 0n ? (sizes & ~(PAGE - 1n)) | PAGE : sizes;
    return shown > this.alignment ? shown : this.alignment;
  }

  /** IOMMU_IOAS_ALLOW_IOVAS (iopt_set_allow_iova) */
  allow(ranges: readonly Range[]): number {
    if (ranges.some((range) => this.#reserved.some((reserved) => overlaps(range, reserved))))
      return -EADDRINUSE;
    this.#allowed = [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1));
    return 0;
  }

  /** iopt_reserve_iova() */
  reserve(range: Range, owner: object): number {
    const used =
      this.#areas.first(range.start, range.last) !== undefined ||
      this.#allowed.some((one) => overlaps(one, range));
    if (used) return -EADDRINUSE;
    this.#reserved = [...this.#reserved, { ...range, owner }];
    return 0;
  }

  unreserve(owner: object): void {
    this.#reserved = this.#reserved.filter((range) => range.owner !== owner);
  }

  /** iopt_table_add_domain(): everything mapped so far must fit the IOMMU, and is pinned. */
  addDomain(domain: object, hardware: IommuHardware): number {
    const smallest = hardware.pageSizes & -hardware.pageSizes;
    if (smallest > PAGE) return -EINVAL;
    if (smallest > this.alignment && this.#alignmentBreaks(smallest)) return -EADDRINUSE;
    if (hardware.lastIova !== LAST_ADDRESS) {
      const result = this.reserve({ start: hardware.lastIova + 1n, last: LAST_ADDRESS }, domain);
      if (result !== 0) return result;
    }
    if (this.#domains.size === 0) {
      const result = this.#pinAll();
      if (result !== 0) {
        this.unreserve(domain);
        return result;
      }
    }
    this.#domains.set(domain, hardware);
    this.#recalculateAlignment();
    return 0;
  }

  removeDomain(domain: object): void {
    if (!this.#domains.delete(domain)) return;
    this.unreserve(domain);
    if (this.#domains.size === 0) for (const { pages } of this.#areas.all) this.#unpin(pages);
    this.#recalculateAlignment();
  }

  /** iopt_map_user_pages(): the IOVA, or a negative errno. */
  mapUser(pages: Pages, protection: number, at: bigint | undefined): bigint {
    const { address, length } = pages;
    if (length === 0n || length > LAST_ADDRESS - PAGE) return BigInt(-EINVAL);
    if (address + length > LAST_ADDRESS) return BigInt(-EOVERFLOW);
    return this.mapPieces([{ pages, address, length }], protection, at);
  }

  /** iopt_map_pages(): pieces of pages one after the other. */
  mapPieces(
    pieces: readonly { readonly pages: Pages; readonly address: bigint; readonly length: bigint }[],
    protection: number,
    at: bigint | undefined,
  ): bigint {
    const first = pieces[0];
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0n);
    if (first === undefined || length === 0n || (length & (this.alignment - 1n)) !== 0n)
      return BigInt(-EINVAL);
    const iova = at === undefined ? this.#allocate(first.address, length) : this.#check(at, length);
    if (iova < 0n) return iova;
    if (pieces.some(({ pages }) => (protection & DMA_WRITE) !== 0 && !pages.writable)) return BigInt(-EPERM);
    if (pieces.some(({ address }) => ((address % PAGE) & (this.alignment - 1n)) !== 0n))
      return BigInt(-EINVAL);
    for (const [i, { pages }] of pieces.entries()) {
      const result = this.#domains.size === 0 ? 0 : this.#pin(pages);
      if (result === 0) continue;
      for (const done of pieces.slice(0, i)) this.#unpin(done.pages);
      return BigInt(result);
    }
    let start = iova;
    for (const { pages, address, length: size } of pieces) {
      const area = {
        start,
        last: start + size - 1n,
        process: pages.process,
        address,
        protection,
        device: false,
        sequence: nextSequence(),
        pages,
      };
      this.#areas.insert(area);
      start += size;
    }
    return iova;
  }

  /** iopt_get_pages(): what a range maps, without a gap; or a negative errno. */
  piecesOf(
    iova: bigint,
    length: bigint,
  ): readonly { readonly pages: Pages; readonly address: bigint; readonly length: bigint }[] | number {
    if (length === 0n) return -EINVAL;
    const last = iova + length - 1n;
    if (last > LAST_ADDRESS) return -EOVERFLOW;
    const pieces: { pages: Pages; address: bigint; length: bigint }[] = [];
    let next = iova;
    for (const area of this.#areas.within(iova, last)) {
      if (area.start > next) return -ENOENT;
      const end = area.last < last ? area.last : last;
      pieces.push({
        pages: area.pages,
        address: area.address + (next - area.start),
        length: end - next + 1n,
      });
      next = end + 1n;
    }
    return next === last + 1n ? pieces : -ENOENT;
  }

  /** iopt_unmap_iova(): whole areas only. The bytes unmapped, or a negative errno. */
  unmap(iova: bigint, length: bigint): { readonly result: number; readonly unmapped: bigint } {
    if (length === 0n) return { result: -EINVAL, unmapped: 0n };
    const last = iova + length - 1n;
    if (last > LAST_ADDRESS) return { result: -EOVERFLOW, unmapped: 0n };
    return this.#unmapRange(iova, last);
  }

  unmapAll(): bigint {
    return this.#unmapRange(0n, LAST_ADDRESS).unmapped;
  }

  /** iopt_cut_iova(): areas are split so that an unmap may end there. */
  cut(lasts: readonly bigint[]): number {
    for (const last of lasts) {
      const area = this.#areas.at(last);
      if (area === undefined || area.last === last) continue;
      const next = last + 1n;
      if ((next & (this.alignment - 1n)) !== 0n) return -EINVAL;
      this.#areas.remove(area);
      this.#areas.insert({ ...area, last });
      this.#areas.insert({ ...area, start: next, address: area.address + (next - area.start) });
      if (this.#domains.size > 0) this.#pinned.set(area.pages, (this.#pinned.get(area.pages) ?? 0) + 1);
    }
    return 0;
  }

  #unmapRange(start: bigint, last: bigint): { readonly result: number; readonly unmapped: bigint } {
    let unmapped = 0n;
    for (const area of this.#areas.within(start, last)) {
      if (area.start < start || area.last > last) return { result: -ENOENT, unmapped };
      this.#areas.remove(area);
      if (this.#domains.size > 0) this.#unpin(area.pages);
      unmapped += area.last - area.start + 1n;
    }
    return { result: 0, unmapped };
  }

  #pin(pages: Pages): number {
    const users = this.#pinned.get(pages) ?? 0;
    if (users === 0) {
      const first = pages.address - (pages.address % PAGE);
      const length = pageCount(pages.address + pages.length - first) * PAGE;
      // Device memory has no pages that could be pinned: iommufd refuses it.
      if (pages.process.pages(first, length, pages.writable) !== 'memory') return -EFAULT;
      if (!this.locked.add(pages.process, pageCount(length), pages.accounting === 'none')) return -ENOMEM;
    }
    this.#pinned.set(pages, users + 1);
    return 0;
  }

  #unpin(pages: Pages): void {
    const users = (this.#pinned.get(pages) ?? 0) - 1;
    if (users > 0) {
      this.#pinned.set(pages, users);
      return;
    }
    if (!this.#pinned.delete(pages)) return;
    const first = pages.address - (pages.address % PAGE);
    this.locked.remove(pages.process, pageCount(pages.address + pages.length - first));
  }

  #pinAll(): number {
    const done: Pages[] = [];
    for (const { pages } of this.#areas.all) {
      const result = this.#pin(pages);
      if (result !== 0) {
        for (const one of done) this.#unpin(one);
        return result;
      }
      done.push(pages);
    }
    return 0;
  }

  #recalculateAlignment(): void {
    let alignment = this.#largePagesDisabled ? PAGE : 1n;
    for (const { pageSizes } of this.#domains.values()) {
      const smallest = pageSizes & -pageSizes;
      if (smallest > alignment) alignment = smallest;
    }
    this.alignment = alignment;
  }

  #alignmentBreaks(alignment: bigint): boolean {
    const mask = alignment - 1n;
    return this.#areas.all.some(
      ({ start, last, address }) =>
        (start & mask) !== 0n || ((last + 1n) & mask) !== 0n || (address & mask) !== 0n,
    );
  }

  /** iopt_check_iova() */
  #check(iova: bigint, length: bigint): bigint {
    if ((iova & (this.alignment - 1n)) !== 0n) return BigInt(-EINVAL);
    const last = iova + length - 1n;
    if (last > LAST_ADDRESS) return BigInt(-EOVERFLOW);
    if (this.#reserved.some((range) => overlaps(range, { start: iova, last }))) return BigInt(-EINVAL);
    return this.#areas.first(iova, last) === undefined ? iova : BigInt(-EEXIST);
  }

  /** iopt_alloc_iova(): the lowest hole that fits, with the low bits of the address so that huge pages stay huge. */
  #allocate(address: bigint, length: bigint): bigint {
    if (length >= LAST_ADDRESS / 2n) return BigInt(-EOVERFLOW);
    const power = roundUpToPower(length);
    let alignment = address === 0n ? power : lower(power, address & -address);
    if (alignment > HUGE_PAGE) alignment = HUGE_PAGE;
    if (alignment < this.alignment) return BigInt(-EINVAL);
    const whole: Range = { start: PAGE, last: LAST_ADDRESS - PAGE };
    const allowed = this.#allowed.length === 0 ? [whole] : this.#allowed;
    const holes = withoutAll(withoutAll(allowed, this.#reserved), this.#areas.all);
    for (const hole of holes) {
      const from = higher(hole.start, PAGE);
      const start = ((from + alignment - 1n) & ~(alignment - 1n)) | (address % PAGE);
      if (start < hole.last && hole.last - start >= length - 1n) return start;
    }
    return BigInt(-ENOSPC);
  }
}

function roundUpToPower(value: bigint): bigint {
  let power = 1n;
  while (power < value) power <<= 1n;
  return power;
}
