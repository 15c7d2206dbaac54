// SPDX-License-Identifier: Apache-2.0
import type { RegisterLookup } from '../../abi/register-access.js';

/**
 * Zeroes the bits that tell this card from all others (a serial number, a MAC address) in bytes of a region from `offset`
 * on; whether there were such bits, of whatever value.
 */
export function hideIdentity(lookup: RegisterLookup, offset: number, bytes: Uint8Array): boolean {
  let found = false;
  for (let at = 0; at < bytes.length; at++) {
    const placed = lookup(offset + at);
    const identity = placed?.register.identity;
    if (placed === undefined || identity === undefined) continue;
    const bits = Number((identity >> BigInt(8 * (offset + at - placed.start))) & 0xffn);
    if (bits === 0) continue;
    found = true;
    bytes[at] = (bytes[at] as number) & ~bits;
  }
  return found;
}
