// SPDX-License-Identifier: Apache-2.0
/** Chains of vfio_info_cap_header: each names the offset of the next from the start of the structure (linux/vfio.h). */
import { type Part, type PartValue, part } from '../ioctl.js';
import { readU32, readUnsigned, struct, u16, u32 } from '../layout.js';

export const INFO_CAP_HEADER = struct('vfio_info_cap_header', 8, {
  id: u16(0),
  version: u16(2),
  next: u32(4),
});

export interface InfoCapability {
  readonly id: number;
  readonly version: number;
  readonly offset: number;
  /** To the end of the structure: a capability does not tell its own length. */
  readonly bytes: Uint8Array;
}

// A kernel gives a handful; a hostile trace could make a loop.
const CAPABILITIES_MAX = 64;

/** The capabilities from `first` on; ends quietly where the bytes do, or where the chain runs backwards in a loop. */
export function infoCapabilities(bytes: Uint8Array, first: number): readonly InfoCapability[] {
  const found: InfoCapability[] = [];
  const seen = new Set<number>();
  let at = first;
  while (
    at !== 0 &&
    at + INFO_CAP_HEADER.size <= bytes.length &&
    !seen.has(at) &&
    found.length < CAPABILITIES_MAX
  ) {
    seen.add(at);
    const id = readUnsigned(bytes, at, 2) as number;
    const version = readUnsigned(bytes, at + 2, 2) as number;
    found.push({ id, version, offset: at, bytes: bytes.subarray(at) });
    at = readU32(bytes, at + 4);
  }
  return found;
}

/** The chain as one part; an offset that leads nowhere is said. */
export function capabilityPart(
  bytes: Uint8Array,
  first: number,
  describe: (capability: InfoCapability) => readonly [text: string, value: PartValue],
): readonly Part[] {
  if (first === 0) return [];
  const shown = infoCapabilities(bytes, first).map(describe);
  if (shown.length === 0) return [part('caps', `none at ${first}`, [], true)];
  return [
    part(
      'caps',
      shown.map(([text]) => text).join(','),
      shown.map(([, value]) => value),
      true,
    ),
  ];
}
