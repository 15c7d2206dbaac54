// SPDX-License-Identifier: Apache-2.0
/** Regions of a VFIO PCI device: their indexes and where they lie in its descriptor. */
import { valueTable } from '../names.js';

export const CONFIG_REGION = 7;
export const ROM_REGION = 6;
export const BAR_COUNT = 6;

/** From 9 on the device says what a region is, by a TYPE capability (linux/vfio.h VFIO_PCI_NUM_REGIONS). */
export const REGION_INDEXES = valueTable('VFIO_PCI_', {
  BAR0: 0,
  BAR1: 1,
  BAR2: 2,
  BAR3: 3,
  BAR4: 4,
  BAR5: 5,
  ROM: 6,
  config: 7,
  VGA: 8,
});

const names = ['BAR0', 'BAR1', 'BAR2', 'BAR3', 'BAR4', 'BAR5', 'ROM', 'config', 'VGA'] as const;

export function regionName(index: number): string {
  return names[index] ?? `region${index}`;
}

// drivers/vfio/pci: VFIO_PCI_OFFSET_SHIFT. Not ABI: mdev and vfio-user devices choose otherwise.
const OFFSET_SHIFT = 40n;

/** Where vfio-pci puts a region; what GET_REGION_INFO answered goes before it. */
export function defaultRegionOffset(index: number): bigint {
  return BigInt(index) << OFFSET_SHIFT;
}

export function defaultRegionIndex(offset: bigint): number {
  return Number(offset >> OFFSET_SHIFT);
}
