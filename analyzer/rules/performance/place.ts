// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { AccessPoint } from '../../../session/story/bulk.js';

/** `CSTS`, or `BAR0+0x1c` where no name is known. */
export function placeName({ register, region, offset }: AccessPoint): string {
  return register?.name ?? `${regionName(region)}+${hex(offset)}`;
}

/** The same place from access to access, also when it is asked for anew. */
export function placeKey({ device, region, offset, direction, width }: AccessPoint): string {
  return `${device.id} ${region} ${offset} ${direction} ${width}`;
}
