// SPDX-License-Identifier: Apache-2.0
/** What each kind of IOMMU can do, as Linux drives it on x86 under QEMU. */
import type { IommuKind } from '../variant.js';
import type { Range } from './ranges.js';

export interface IommuHardware {
  /** iommu_domain.pgsize_bitmap */
  readonly pageSizes: bigint;
  /** iommu_domain.geometry.aperture_end; it starts at 0. */
  readonly lastIova: bigint;
  /**
   * A domain's range is known when the first device is attached (viommu_domain_finalise): one that is made without a
   * device ends at 0 until then.
   */
  readonly lateRange?: boolean;
  /** iommu_get_group_resv_regions() */
  readonly reserved: readonly Range[];
  /** iommu_group_has_isolated_msi(): interrupts are remapped. */
  readonly isolatedMsi: boolean;
  /** The driver has iommu_domain_ops.enforce_cache_coherency and it succeeds. */
  readonly enforcesCoherency: boolean;
  /** The driver has iommu_ops.domain_alloc_user. */
  readonly userDomains: boolean;
  /** IOMMU_HW_INFO_TYPE_… and the bytes behind it. */
  readonly info: { readonly type: number; readonly data: Uint8Array };
}

// The x86 interrupt window: writes there are messages, whatever is mapped.
export const MSI_WINDOW: Range = { start: 0xfee0_0000n, last: 0xfeef_ffffn };

const none = { type: 0, data: new Uint8Array() };
const ALL = 2n ** 64n - 1n;

// struct iommu_hw_info_vtd: flags, reserved, capability and extended capability register. The registers are those of
// a 48-bit unit without nesting; QEMU's differ with its options.
const vtd = new Uint8Array([
  0, 0, 0, 0, 0, 0, 0, 0, 0x62, 0x06, 0x2f, 0, 0, 0, 0xd2, 0, 0x4a, 0x0f, 0, 0, 0, 0, 0, 0,
]);

export const IOMMU_HARDWARE: Readonly<Record<IommuKind, IommuHardware | undefined>> = {
  intel: {
    pageSizes: 0x4020_1000n,
    lastIova: 2n ** 48n - 1n,
    reserved: [MSI_WINDOW],
    isolatedMsi: true,
    enforcesCoherency: false,
    userDomains: true,
    info: { type: 1, data: vtd },
  },
  amd: {
    // AMD's tables take any power of two from 4 KiB on, but for the one that would need the bits of the next level.
    pageSizes: 0xf_ff7f_ffff_f000n,
    lastIova: ALL,
    // The second is the HyperTransport address map.
    reserved: [MSI_WINDOW, { start: 0xfd_0000_0000n, last: 0xff_ffff_ffffn }],
    isolatedMsi: true,
    enforcesCoherency: true,
    userDomains: true,
    info: none,
  },
  virtio: {
    pageSizes: 0xffff_ffff_ffff_f000n,
    lastIova: ALL,
    lateRange: true,
    reserved: [MSI_WINDOW],
    isolatedMsi: false,
    enforcesCoherency: false,
    userDomains: false,
    info: none,
  },
  none: undefined,
};
