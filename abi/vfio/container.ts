// SPDX-License-Identifier: Apache-2.0
/** ioctls of a container (/dev/vfio/vfio) that don't depend on its IOMMU driver (linux/vfio.h). */
import { ioctl } from '../ioctl.js';
import { u32 } from '../layout.js';
import { valueTable } from '../names.js';

/** Both VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU take these. */
export const EXTENSIONS = valueTable('VFIO_', {
  TYPE1_IOMMU: 1,
  SPAPR_TCE_IOMMU: 2,
  TYPE1v2_IOMMU: 3,
  DMA_CC_IOMMU: 4,
  EEH: 5,
  TYPE1_NESTING_IOMMU: 6,
  SPAPR_TCE_v2_IOMMU: 7,
  NOIOMMU_IOMMU: 8,
  UNMAP_ALL: 9,
  UPDATE_VADDR: 10,
});

const extension = { kind: 'value', name: 'extension', field: u32(0, { values: EXTENSIONS }) } as const;

export const CONTAINER_IOCTLS = [
  ioctl('VFIO_GET_API_VERSION', 0x3b64, undefined, { returns: 'number' }),
  ioctl('VFIO_CHECK_EXTENSION', 0x3b65, extension, { returns: 'number' }),
  ioctl('VFIO_SET_IOMMU', 0x3b66, { ...extension, name: 'iommu' }),
] as const;
