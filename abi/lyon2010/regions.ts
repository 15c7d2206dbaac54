// SPDX-License-Identifier: Apache-2.0
/** Where the regions of a 2010 device lie in /dev/vfioN: the space is in bits 32 to 35 of the offset. */
import { CONFIG_REGION, ROM_REGION } from '../vfio/regions.js';

const SPACE_SHIFT = 32n;
const CONFIG_SPACE = 0xf;

/** The region in today's numbering (7 is configuration space); undefined for a space that nothing is in. */
export function lyonRegionIndex(offset: bigint): number | undefined {
  const space = Number((offset >> SPACE_SHIFT) & 0xfn);
  if (space === CONFIG_SPACE) return CONFIG_REGION;
  return space <= ROM_REGION ? space : undefined;
}

export function lyonRegionOffset(index: number): bigint {
  return BigInt(index === CONFIG_REGION ? CONFIG_SPACE : index) << SPACE_SHIFT;
}

/** The register is the low half of the offset. */
export function lyonRegisterOffset(offset: bigint): bigint {
  return offset & 0xffff_ffffn;
}
