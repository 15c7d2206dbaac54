// SPDX-License-Identifier: Apache-2.0
/**
 * ioctls of a container whose IOMMU is sPAPR TCE (linux/vfio.h). The recorder is for x86-64, where they fail; those
 * whose number no type 1 ioctl shares are still named.
 */
import { ioctl } from '../ioctl.js';
import { struct, u32, u64 } from '../layout.js';

export const SPAPR_REGISTER_MEMORY = struct('vfio_iommu_spapr_register_memory', 24, {
  argsz: u32(0),
  flags: u32(4, { hex: true }),
  vaddr: u64(8, { pointer: true }),
  size: u64(16, { size: true }),
});

export const SPAPR_TCE_CREATE = struct('vfio_iommu_spapr_tce_create', 40, {
  argsz: u32(0),
  flags: u32(4, { hex: true }),
  page_shift: u32(8),
  resv1: u32(12, { hidden: true, c: '__resv1' }),
  window_size: u64(16, { size: true }),
  levels: u32(24),
  resv2: u32(28, { hidden: true, c: '__resv2' }),
  start_addr: u64(32, { direction: 'out' }),
});

export const SPAPR_TCE_REMOVE = struct('vfio_iommu_spapr_tce_remove', 16, {
  argsz: u32(0),
  flags: u32(4, { hex: true }),
  start_addr: u64(8),
});

export const EEH_PE_OP = struct('vfio_eeh_pe_op', 40, {
  argsz: u32(0),
  flags: u32(4, { hex: true }),
  op: u32(8),
});

export const SPAPR_IOCTLS = [
  ioctl('VFIO_IOMMU_ENABLE', 0x3b73),
  ioctl('VFIO_IOMMU_DISABLE', 0x3b74),
  ioctl('VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY', 0x3b76, SPAPR_REGISTER_MEMORY),
  ioctl('VFIO_IOMMU_SPAPR_TCE_CREATE', 0x3b77, SPAPR_TCE_CREATE),
  ioctl('VFIO_IOMMU_SPAPR_TCE_REMOVE', 0x3b78, SPAPR_TCE_REMOVE),
  ioctl('VFIO_EEH_PE_OP', 0x3b79, EEH_PE_OP, { returns: 'number' }),
] as const;
