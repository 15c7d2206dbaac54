// SPDX-License-Identifier: Apache-2.0
/** Where an ioctl that maps memory for DMA, or unmaps it, has its IOVA and length. */
import { IOAS_MAP, IOAS_UNMAP } from '../../abi/iommufd/ioas.js';
import { LYON_DMA_MAP } from '../../abi/lyon2010/ioctls.js';
import { DMA_MAP, DMA_UNMAP } from '../../abi/vfio/type1.js';
import { PayloadRole } from '../../traces/model.js';

/** Offsets in the argument. */
export interface DmaArgument {
  readonly iova: number;
  readonly size: number;
  /** The segment that holds what was done; where it was not recorded, IN holds what was asked for. */
  readonly role: number;
}

const ARGUMENTS: ReadonlyMap<string, DmaArgument> = new Map([
  [
    'VFIO_IOMMU_MAP_DMA',
    { iova: DMA_MAP.fields.iova.offset, size: DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  ],
  [
    'VFIO_IOMMU_UNMAP_DMA',
    { iova: DMA_UNMAP.fields.iova.offset, size: DMA_UNMAP.fields.size.offset, role: PayloadRole.OUT },
  ],
  [
    'IOMMU_IOAS_MAP',
    { iova: IOAS_MAP.fields.iova.offset, size: IOAS_MAP.fields.length.offset, role: PayloadRole.OUT },
  ],
  [
    'IOMMU_IOAS_UNMAP',
    { iova: IOAS_UNMAP.fields.iova.offset, size: IOAS_UNMAP.fields.length.offset, role: PayloadRole.OUT },
  ],
  ['VFIO_DMA_MAP_IOVA', lyon(PayloadRole.IN)],
  // The kernel chose the IOVA.
  ['VFIO_DMA_MAP_ANYWHERE', lyon(PayloadRole.OUT)],
  ['VFIO_DMA_UNMAP', lyon(PayloadRole.IN)],
]);

function lyon(role: number): DmaArgument {
  const { dmaaddr, size } = LYON_DMA_MAP.fields;
  return { iova: dmaaddr.offset, size: size.offset, role };
}

export function isDmaCall(operation: string): boolean {
  return ARGUMENTS.has(operation);
}

export function dmaArgument(operation: string): DmaArgument | undefined {
  return ARGUMENTS.get(operation);
}
