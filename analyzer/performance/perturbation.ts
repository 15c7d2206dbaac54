// SPDX-License-Identifier: Apache-2.0
import { MMIO_TIER_PATCHED, reasonText, tierName } from '../../abi/mmio-sites.js';
import { isAccess } from '../../session/groups/event-name.js';
import type { Collected } from './collected.js';
import type { Perturbation } from './model.js';

/**
 * ns of the driver's CPU time for one recorded event: the medians of `npm run bench -- --only record` (record.pread.overhead_ns) and
 * `--only mmio` (mmio.patched_ns, mmio.trapped_ns) on the machine that the README names. Other machines differ; proportions hardly.
 */
const CALL_NS = 27;
const TIER_NS: Readonly<Record<string, number>> = { patched: 13.9, trapped: 3300, emulated: 3300 };

const UNPATCHED_SHOWN = 20;

export function perturbation(
  { collection, table }: Collected,
  siteName: (site: number, kind: number) => string,
): Perturbation {
  const { trace, events, firstTime, lastTime, smallestGap } = collection;
  const { header, summary, definitions, damages } = trace;
  const byTier = new Map<string, number>();
  const unpatched = new Map<number, { tier: number; count: number; kind: number }>();
  let accesses = 0;
  table.cells.forEach(({ name, site }, at) => {
    if (!isAccess(name.kind)) return;
    const count = table.counts[at] as number;
    accesses += count;
    const how = tierName(name.tier);
    byTier.set(how, (byTier.get(how) ?? 0) + count);
    // 0: the recording does not say.
    if (name.tier <= MMIO_TIER_PATCHED) return;
    const held = unpatched.get(site);
    if (held === undefined) unpatched.set(site, { tier: name.tier, count, kind: name.kind });
    else held.count += count;
  });
  const cost = (how: string, number: number, each: number | undefined) => ({
    how,
    events: number,
    each_ns: each ?? null,
    total_ns: each === undefined ? null : Math.round(number * each),
  });
  const costs = [
    ...(events > accesses ? [cost('system call', events - accesses, CALL_NS)] : []),
    ...[...byTier].map(([how, number]) => cost(`access, ${how}`, number, TIER_NS[how])),
  ];
  const total = costs.reduce((sum, { total_ns }) => sum + (total_ns ?? 0), 0);
  const duration = lastTime - firstTime;
  return {
    mmio: header.modes.mmio,
    backend: header.modes.backend,
    costs,
    share: duration > 0 ? total / duration : 0,
    smallest_gap_ns: Number.isFinite(smallestGap) ? Math.round(smallestGap) : null,
    waits: summary?.waits ?? 0,
    waited_ns: summary?.waitedNs ?? 0,
    lost_events: (summary?.losses ?? []).reduce((sum, { events: lost }) => sum + lost, 0),
    damaged: damages.length,
    unpatched_sites: [...unpatched]
      .sort(([, a], [, b]) => b.count - a.count)
      .slice(0, UNPATCHED_SHOWN)
      .map(([site, { tier, count, kind }]) => ({
        site: siteName(site, kind),
        how: tierName(tier),
        why: reasonText(definitions.mmioSites.get(site)?.reason ?? 0),
        count,
      })),
  };
}
