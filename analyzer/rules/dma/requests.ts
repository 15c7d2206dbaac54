// SPDX-License-Identifier: Apache-2.0
/** Requests to map and unmap for DMA, whichever interface they were made by. */
import { IOAS_MAP, IOAS_MAP_FIXED_IOVA, IOAS_UNMAP } from '../../../abi/iommufd/ioas.js';
import { decode } from '../../../abi/layout.js';
import { LYON_DMA_MAP } from '../../../abi/lyon2010/ioctls.js';
import { DMA_MAP, DMA_UNMAP } from '../../../abi/vfio/type1.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import type { Story } from '../../../session/story/story.js';

const MAP_VADDR = 4;

export interface MapRequest {
  readonly space: DmaSpace;
  readonly iova: bigint;
  readonly size: bigint;
  readonly vaddr: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  /** The caller chose the IOVA. */
  readonly fixed: boolean;
  readonly flags: number;
}

export interface UnmapRequest {
  readonly space: DmaSpace;
  readonly iova: bigint;
  readonly size: bigint;
  readonly flags: number;
}

function decodeMap(story: Story, { name, object, before }: IoctlStep): MapRequest | undefined {
  switch (name) {
    case 'VFIO_IOMMU_MAP_DMA': {
      const { flags = 0, vaddr = 0n, iova = 0n, size = 0n } = decode(DMA_MAP, before);
      // Only tells where the memory of an existing mapping now is.
      if ((flags & MAP_VADDR) !== 0) return undefined;
      const rights = { readable: (flags & 1) !== 0, writable: (flags & 2) !== 0 };
      return { space: story.spaces.space(object, 0), iova, size, vaddr, ...rights, fixed: true, flags };
    }
    case 'IOMMU_IOAS_MAP': {
      const { flags = 0, ioas_id = 0, user_va = 0n, iova = 0n, length = 0n } = decode(IOAS_MAP, before);
      const space = story.spaces.space(object, ioas_id);
      const rights = { readable: (flags & 4) !== 0, writable: (flags & 2) !== 0 };
      const fixed = (flags & IOAS_MAP_FIXED_IOVA) !== 0;
      return { space, iova, size: length, vaddr: user_va, ...rights, fixed, flags };
    }
    case 'VFIO_DMA_MAP_IOVA':
    case 'VFIO_DMA_MAP_ANYWHERE': {
      const { vaddr = 0n, dmaaddr = 0n, size = 0n, flags = 0n } = decode(LYON_DMA_MAP, before);
      const rights = { readable: true, writable: (flags & 1n) !== 0n };
      const fixed = name === 'VFIO_DMA_MAP_IOVA';
      const space = story.spaces.space(object, 0);
      return { space, iova: dmaaddr, size, vaddr, ...rights, fixed, flags: Number(flags & 0xffff_ffffn) };
    }
    default:
      return undefined;
  }
}

function decodeUnmap(story: Story, { name, object, before }: IoctlStep): UnmapRequest | undefined {
  switch (name) {
    case 'VFIO_IOMMU_UNMAP_DMA': {
      const { flags = 0, iova = 0n, size = 0n } = decode(DMA_UNMAP, before);
      return { space: story.spaces.space(object, 0), iova, size, flags };
    }
    case 'IOMMU_IOAS_UNMAP': {
      const { ioas_id = 0, iova = 0n, length = 0n } = decode(IOAS_UNMAP, before);
      return { space: story.spaces.space(object, ioas_id), iova, size: length, flags: 0 };
    }
    default:
      return undefined;
  }
}

/** Many rules ask for the request of the same step, one after the other: it is decoded once. */
let latest: { readonly step: IoctlStep; readonly request: MapRequest | undefined } | undefined;
let latestUnmap: { readonly step: IoctlStep; readonly request: UnmapRequest | undefined } | undefined;

type Handlers = Readonly<Record<string, (step: IoctlStep) => void>>;
type Look<R> = (request: R, step: IoctlStep) => void;

/** For RuleWatch.ioctl: each request to map memory, whether it succeeded or not. */
export function onMap(story: Story, look: Look<MapRequest>): Handlers {
  const handler = (step: IoctlStep): void => {
    if (latest?.step !== step) latest = { step, request: decodeMap(story, step) };
    if (latest.request !== undefined) look(latest.request, step);
  };
  return {
    VFIO_IOMMU_MAP_DMA: handler,
    IOMMU_IOAS_MAP: handler,
    VFIO_DMA_MAP_IOVA: handler,
    VFIO_DMA_MAP_ANYWHERE: handler,
  };
}

/** Each request to unmap by IOVA. */
export function onUnmap(story: Story, look: Look<UnmapRequest>): Handlers {
  const handler = (step: IoctlStep): void => {
    if (latestUnmap?.step !== step) latestUnmap = { step, request: decodeUnmap(story, step) };
    if (latestUnmap.request !== undefined) look(latestUnmap.request, step);
  };
  return { VFIO_IOMMU_UNMAP_DMA: handler, IOMMU_IOAS_UNMAP: handler };
}

/** Whether [start, start + length) and [other, other + size) have an address in common. */
export function overlap(start: bigint, length: bigint, other: bigint, size: bigint): boolean {
  return start < other + size && other < start + length;
}
