// SPDX-License-Identifier: Apache-2.0
import { decode, readU32 } from '../../../abi/layout.js';
import { infoCapabilities } from '../../../abi/vfio/capability-chain.js';
import { IOMMU_CAP_DMA_AVAIL, IOMMU_INFO } from '../../../abi/vfio/type1.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

const ENOSPC = 28;
/** vfio_iommu_type1.c: dma_entry_limit. */
const DEFAULT_LIMIT = 65535;

export const DMA_014: Rule = {
  id: 'DMA-014',
  title: 'The number of mappings stays well below the limit of the container',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A container holds 65535 mappings unless the administrator says otherwise; the next one is ENOSPC, at a time that depends on how the memory happened to lie. The limit is told by VFIO_IOMMU_GET_INFO (DMA_AVAIL).`,
  sources: [
    'vfio_iommu_type1.c: dma_entry_limit, dma_avail',
    'linux/vfio.h: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL',
  ],
  decided: `More than half of the limit was mapped at once (what GET_INFO told first plus what was mapped then; else 65535); or a request was refused with ENOSPC. An iommufd has no such limit.`,
  wrongWhen: 'SPDK maps each huge page of 2 MiB by itself: 64 GiB of them are just half of the limit.',
  compliant: 'Map what lies together together, and larger pages.',
  watch: (check) => {
    const limits = new Map<DmaSpace, number>();
    const mapped = (space: DmaSpace): number => check.story.session.dma.space(space.object, space.ioas).size;
    return {
      ioctl: {
        VFIO_IOMMU_GET_INFO: ({ object, after, ok }) => {
          const first = ok ? (decode(IOMMU_INFO, after).cap_offset ?? 0) : 0;
          const found = infoCapabilities(after, first).find(({ id }) => id === IOMMU_CAP_DMA_AVAIL);
          if (found === undefined || found.bytes.length < 12) return;
          const space = check.story.spaces.space(object, 0);
          if (!limits.has(space)) limits.set(space, readU32(found.bytes, 8) + mapped(space));
        },
        ...onMap(check.story, ({ space }, { ok, event, name }) => {
          if (name !== 'VFIO_IOMMU_MAP_DMA') return;
          check.judged();
          const limit = limits.get(space) ?? DEFAULT_LIMIT;
          if (event.errno === ENOSPC) {
            check.report({
              key: 'ENOSPC',
              object: space.object,
              message: `a request to map was refused: ${mapped(space)} mappings of ${limit} are there`,
              evidence: [{ event: event.number, note: 'ENOSPC' }],
            });
            return;
          }
          const count = mapped(space);
          if (!ok || count * 2 <= limit) return;
          if ((count - 1) * 2 > limit) return;
          check.report({
            key: 'half',
            object: space.object,
            message: `${count} mappings are live: more than half of the limit of ${limit}`,
            evidence: [{ event: event.number, note: 'the one that made it so many' }],
          });
        }),
      },
    };
  },
};
