// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { CONTAINER } from '../../../abi/object-kinds.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

const ENOENT = 2;

interface Early {
  readonly event: number;
  readonly message: string;
}

export const DMA_017: Rule = {
  id: 'DMA-017',
  title: 'The address space is there before anything is mapped in it',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A container has no IOMMU before SET_IOMMU, and an iommufd has no address space before IOAS_ALLOC: there is nothing that could map.`,
  sources: [
    'vfio/container.c: vfio_fops_unl_ioctl (EINVAL without a driver)',
    'iommufd/io_pagetable.c: iommufd_get_ioas (ENOENT)',
  ],
  decided: `A request to map that failed on a container without SET_IOMMU, or with ENOENT on an iommufd; a note when it worked later.`,
  wrongWhen: 'A container that was opened before the recording began: silent then.',
  compliant: 'SET_CONTAINER, SET_IOMMU, MAP_DMA; or IOAS_ALLOC, IOAS_MAP.',
  watch: (check) => {
    const early = new Map<DmaSpace, Early>();
    return {
      ioctl: onMap(check.story, ({ space }, { ok, event, objectKind }) => {
        check.judged();
        const before = early.get(space);
        if (ok) {
          if (before === undefined) return;
          early.delete(space);
          check.report({
            key: 'too early',
            object: space.object,
            severity: 'note',
            message: `${before.message}; it worked later`,
            evidence: [{ event: before.event, note: 'too early' }],
          });
          return;
        }
        if (before !== undefined) return;
        // An iommufd answers the old calls, too: there it is the number of the address space that counts.
        if (objectKind === CONTAINER) {
          const seen = check.story.session.definitions.objects.get(space.object)?.seenBorn ?? false;
          if (!seen || check.story.spaces.iommuType(space.object) !== undefined) return;
          const message = `MAP_DMA failed with ${errnoName(event.errno)}: the container had no IOMMU yet (SET_IOMMU)`;
          early.set(space, { event: event.number, message });
        } else if (event.errno === ENOENT) {
          const message = `IOAS_MAP failed with ENOENT: there is no address space ${space.ioas}`;
          early.set(space, { event: event.number, message });
        }
      }),
      end: () => {
        for (const [space, { event, message }] of early)
          check.report({
            key: 'too early',
            object: space.object,
            message,
            evidence: [{ event, note: 'too early' }],
          });
      },
    };
  },
};
