// SPDX-License-Identifier: Apache-2.0
/** How the MMIO watcher catches an instruction, and why it does not do better (enum mmio_tier, mmio_reason of the shim). */

const tiers = [
  'none',
  'patched',
  'trapped',
  'emulated',
  'stepped',
  'protection key',
  'threads held',
  'in a system call',
] as const;

const reasons = [
  '',
  '--mmio trap',
  'generated code',
  'writable mapping',
  'too short for a jump',
  'no memory in reach of a jump',
  'code can’t be written',
  'no membarrier',
  'a form that is not moved',
  'not decoded',
  'too many sites',
  'its jump’s memory was taken by the driver',
  'the device is simulated',
] as const;

/** What kind of instruction made an access, as far as it matters for making it again (enum mmio_form of the shim). */
export const MmioForm = { MODIFY: 7, EXCHANGE: 8, LOCKED: 9, LINE: 13 } as const;

export const MMIO_TIER_PATCHED = tiers.indexOf('patched');
export const MMIO_TIER_COUNT = tiers.length;
export const MMIO_REASON_COUNT = reasons.length;

export function tierName(tier: number): string {
  return tiers[tier] ?? `tier ${tier}`;
}

/** Empty where there is nothing to explain. */
export function reasonText(reason: number): string {
  return reasons[reason] ?? `reason ${reason}`;
}
