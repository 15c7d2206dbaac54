// SPDX-License-Identifier: Apache-2.0
import { size } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { timeText } from './rate.js';

const NS_PER_GIB = 0.5e9;
/** Of less than this the call itself is what takes the time. */
const LEAST = 16 << 20;

export const PERF_012: Rule = {
  id: 'PERF-012',
  title: 'Large memory that is mapped for DMA lies in hugepages',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  why: 'Pages are pinned one by one, and cleared when they have not been touched: with pages of 4 KiB that is a quarter of a million for each GiB.',
  sources: ['vfio_iommu_type1.c: vfio_pin_pages_remote', 'Documentation/admin-guide/mm/hugetlbpage.rst'],
  decided: 'A mapping of 16 MiB or more that took longer than half a second for each GiB.',
  wrongWhen: 'Memory that nobody had touched before: whoever touches it first pays for clearing it.',
  compliant:
    'Hugepages (MAP_HUGETLB, hugetlbfs, or transparent ones by madvise), touched before they are mapped.',
  watch: (check) => ({
    on: {
      'dma-map': ({ space, mapping, event, ok }) => {
        const bytes = Number(mapping.length);
        if (!ok || bytes < LEAST) return;
        check.judged();
        const perGib = event.duration / (bytes / 2 ** 30);
        if (perGib <= NS_PER_GIB) return;
        check.report({
          key: 'slow mapping',
          object: space.object,
          message: `mapping ${size(mapping.length)} took ${timeText(event.duration)}, ${timeText(perGib)} for each GiB`,
          evidence: [{ event: event.number, note: 'the mapping' }],
        });
      },
    },
  }),
};
