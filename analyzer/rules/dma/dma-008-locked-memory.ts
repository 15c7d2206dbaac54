// SPDX-License-Identifier: Apache-2.0
import { hex, size as sizeText } from '../../../abi/text.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';
import { type MapRequest, onMap, overlap } from './requests.js';

const ENOMEM = 12;
const REMEMBERED = 1024;

export const DMA_008: Rule = {
  id: 'DMA-008',
  title: 'Memory that could not be locked (ENOMEM) is not used for DMA',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'inferred',
  needs: ['accesses'],
  why: `What is mapped for DMA is locked, and counted against RLIMIT_MEMLOCK: for each mapping anew, huge pages too, and twice where two containers map the same memory. Above the limit MAP_DMA fails with ENOMEM
and maps nothing; who tells the device the address all the same gets IOMMU faults.`,
  sources: [
    'vfio_iommu_type1.c: vfio_lock_acct, vfio_pin_pages_remote',
    'iommufd/pages.c: iopt_alloc_pages (per user by default)',
    'Lyon 2010, Documentation/vfio.txt: ulimit -l',
  ],
  decided: `A request to map failed with ENOMEM, and later the controller was given an address in that range while nothing was mapped there. How near a session comes to the limit is not decided: the limit of the
process is not recorded.`,
  wrongWhen:
    'Only controllers whose class is known. A driver that frees something, and tries again or with less, is fine.',
  compliant:
    'Look at getrlimit(RLIMIT_MEMLOCK) before, and at the result of each call; `vfiotape doctor` tells the limit.',
  watch: (check) => {
    const refused = new Map<DmaSpace, { readonly request: MapRequest; readonly event: number }[]>();
    return {
      ioctl: onMap(check.story, (request, { event }) => {
        check.judged();
        if (event.errno !== ENOMEM) return;
        const held = refused.get(request.space) ?? [];
        refused.set(request.space, held);
        if (held.length < REMEMBERED) held.push({ request, event: event.number });
      }),
      on: {
        controller: ({ device, what, whole, address, register, event }) => {
          if (what !== 'address' || whole !== true || address === undefined) return;
          const space = check.story.spaces.of(device.id);
          if (space === undefined) return;
          const failed = refused
            .get(space)
            ?.find(({ request: { iova, size } }) => overlap(iova, size, address, 1n));
          if (failed === undefined) return;
          if (check.story.session.dma.space(space.object, space.ioas).at(address) !== undefined) return;
          check.report({
            key: register,
            device,
            message: `${register} points to ${hex(address)}, in ${sizeText(failed.request.size)} bytes that could not be mapped for want of lockable memory`,
            evidence: [
              { event: event.number, note: 'the address' },
              { event: failed.event, note: 'ENOMEM' },
            ],
          });
        },
      },
    };
  },
};
