// SPDX-License-Identifier: Apache-2.0
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';
import { PerKey, Rate, timeText } from './rate.js';

const PER_SECOND = 100;
const SHORT_NS = 10e6;
/** Mappings that are alive at a time: a type 1 container has at most 65535 by default. */
const LIVE_MAX = 1 << 17;

interface Space {
  readonly mapped: Map<bigint, { readonly time: number; readonly took: number }>;
  readonly short: Rate;
  cost: number;
}

export const PERF_003: Rule = {
  id: 'PERF-003',
  title: 'Memory is not mapped and unmapped for each request',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `Mapping pins pages and writes the IOMMU's tables, unmapping waits until the IOMMU has forgotten them: microseconds for each request, and a lock that all threads
share.`,
  sources: ['vfio_iommu_type1.c: vfio_dma_do_map, vfio_dma_do_unmap'],
  decided: 'More than 100 unmappings within a second of mappings that lived less than 10 ms.',
  wrongWhen:
    'A design that gives the device no more than it needs at a time. QEMU’s NVMe driver maps what is not of its own pool that way.',
  compliant: 'Map buffers once, and copy or reuse them.',
  watch: (check) => {
    const spaces = new PerKey<DmaSpace, Space>(() => ({ mapped: new Map(), short: new Rate(), cost: 0 }));
    return {
      on: {
        'dma-map': ({ space, mapping, event }) => {
          check.judged();
          const { mapped } = spaces.of(space);
          if (mapped.size < LIVE_MAX) mapped.set(mapping.start, { time: event.time, took: event.duration });
        },
        'dma-unmap': ({ space, mappings, event }) => {
          const held = spaces.of(space);
          for (const { start } of mappings) {
            const birth = held.mapped.get(start);
            held.mapped.delete(start);
            if (birth === undefined || event.time - birth.time >= SHORT_NS) continue;
            held.short.add(event.time, event.number);
            held.cost += birth.took + event.duration;
          }
        },
      },
      end: () => {
        for (const [space, { short, cost }] of spaces) {
          if (short.peak <= PER_SECOND) continue;
          check.report({
            key: 'short-lived mappings',
            object: space.object,
            message: `${short.total} mappings lived less than 10 ms, ${short.peak} of them within one second: ${timeText(cost)} of mapping and unmapping`,
            evidence: [{ event: short.event, note: 'the busiest second of unmapping begins here' }],
          });
        }
      },
    };
  },
};
