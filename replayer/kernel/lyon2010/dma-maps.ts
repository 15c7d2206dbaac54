// SPDX-License-Identifier: Apache-2.0
/** What one open of /dev/vfioN has mapped for DMA (struct vfio_listener, vfio_dma.c of 2010). */
import { LYON_DMA_FLAGS, LYON_DMA_MAP, LYON_MAP_SIZE_MAX } from '../../../abi/lyon2010/ioctls.js';
import { EFAULT, EINVAL, ENOMEM, ENXIO } from '../errno.js';
import { type LockedMemory, PAGE } from '../iommu/locked-memory.js';
import { DMA_READ, DMA_WRITE, type DmaMapping, nextSequence } from '../iommu/mappings.js';
import type { Call, Process } from '../process.js';
import { structIn, structOut } from '../user-memory.js';
import type { Uiommu } from './uiommu.js';

interface LyonMapping extends DmaMapping {
  readonly domain: Uiommu;
  readonly pages: bigint;
}

const WRITE = BigInt(LYON_DMA_FLAGS.bits.WRITE);

export class LyonDmaMaps {
  /** The latest first, as list_add() keeps them. */
  #mappings: LyonMapping[] = [];
  /** "only 1 address space per fd": that of the first mapping. */
  #process: Process | undefined;

  constructor(
    readonly locked: LockedMemory,
    /** The device's count: pages pinned, and mappings. */
    readonly count: (pages: bigint, mappings: number) => void,
  ) {}

  /** VFIO_DMA_MAP_IOVA (vfio_dma_map_common). */
  map(call: Call, domain: Uiommu | undefined): number {
    const given = structIn(call, LYON_DMA_MAP);
    if (given === undefined) return -EFAULT;
    const { vaddr, dmaaddr, size, flags } = given;
    if (((vaddr | dmaaddr | size) & (PAGE - 1n)) !== 0n || size > LYON_MAP_SIZE_MAX) return -EINVAL;
    const { process } = call;
    const pages = size / PAGE;
    const unlimited = process.capable('IPC_LOCK');
    if (!unlimited && this.locked.of(process) + pages > process.memlock / PAGE) return -ENOMEM;
    if (this.#process !== undefined && this.#process !== process) return -EINVAL;
    this.#process = process;
    // vmalloc() of no bytes is no memory.
    if (pages === 0n) return -ENOMEM;
    const write = (flags & WRITE) !== 0n;
    if (process.pages(vaddr, size, write) !== 'memory') return -EFAULT;
    if (domain === undefined) return -EINVAL;
    const mapping: LyonMapping = {
      start: dmaaddr,
      last: dmaaddr + size - 1n,
      process,
      address: vaddr,
      protection: write ? DMA_READ | DMA_WRITE : DMA_READ,
      device: false,
      sequence: nextSequence(),
      domain,
      pages,
    };
    const result = domain.map(mapping);
    if (result !== 0) return result;
    this.#mappings.unshift(mapping);
    this.locked.add(process, pages, true);
    this.count(pages, 1);
    return structOut(call, LYON_DMA_MAP, given) ? 0 : -EFAULT;
  }

  /** VFIO_DMA_UNMAP: what is mapped is named by its address in the process and its pages (vfio_dma_unmap_dm). */
  unmap(call: Call): number {
    const given = structIn(call, LYON_DMA_MAP);
    if (given === undefined) return -EFAULT;
    const pages = given.size / PAGE;
    const found = this.#mappings.find((one) => one.address === given.vaddr && one.pages === pages);
    if (found === undefined) return -ENXIO;
    this.#remove(found);
    return 0;
  }

  hasMappingsOf(process: Process): boolean {
    return process === this.#process && this.#mappings.length > 0;
  }

  /** vfio_dma_handle_mmu_notify(): a mapping of which a part goes, goes. */
  memoryGone(process: Process, start: bigint, end: bigint): void {
    if (process !== this.#process) return;
    for (const mapping of this.#mappings) {
      const stop = mapping.address + mapping.pages * PAGE;
      if (mapping.address < end && stop > start) this.#remove(mapping);
    }
  }

  /** Memory that went without a word, inside libc for one: it is looked for before anything is done with the list. */
  sweep(): void {
    for (const mapping of this.#mappings) {
      const { process, address, pages, protection } = mapping;
      if (process.pages(address, pages * PAGE, (protection & DMA_WRITE) !== 0) !== 'memory')
        this.#remove(mapping);
    }
  }

  /** vfio_dma_unmapall(): the descriptor is closed. */
  release(): void {
    for (const mapping of this.#mappings) this.#remove(mapping);
  }

  #remove(mapping: LyonMapping): void {
    this.#mappings = this.#mappings.filter((one) => one !== mapping);
    mapping.domain.unmap(mapping);
    this.locked.remove(mapping.process, mapping.pages);
    this.count(-mapping.pages, -1);
  }
}
