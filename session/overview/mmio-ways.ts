// SPDX-License-Identifier: Apache-2.0
import { reasonText, tierName } from '../../abi/mmio-sites.js';
import type { MmioSiteDefinition } from '../../traces/model.js';

/** One way in which instructions that touch a mapped BAR were caught. */
export interface MmioWay {
  readonly tier: string;
  /** Why not in a better way; empty where it is the best. */
  readonly reason: string;
  /** Instructions. */
  readonly count: number;
  /** Site ids of those that have a reason. */
  readonly sites: readonly number[];
}

export function mmioWays(definitions: Iterable<MmioSiteDefinition>): readonly MmioWay[] {
  const ways = new Map<string, MmioWay & { count: number; readonly sites: number[] }>();
  for (const { site, tier, reason } of definitions) {
    const key = `${tier} ${reason}`;
    let way = ways.get(key);
    if (way === undefined) {
      way = { tier: tierName(tier), reason: reasonText(reason), count: 0, sites: [] };
      ways.set(key, way);
    }
    way.count++;
    if (way.reason !== '') way.sites.push(site);
  }
  return [...ways.values()];
}
