// SPDX-License-Identifier: Apache-2.0
import { IOAS_MAP_FLAGS } from '../../../abi/iommufd/ioas.js';
import { flagNames } from '../../../abi/names.js';
import { hex } from '../../../abi/text.js';
import {
  DMA_MAP_FLAGS,
  DMA_UNMAP_ALL,
  DMA_UNMAP_FLAGS,
  DMA_UNMAP_GET_DIRTY_BITMAP,
  DMA_UNMAP_VADDR,
} from '../../../abi/vfio/type1.js';
import type { Rule } from '../../check/rule.js';
import { onMap, onUnmap } from './requests.js';

const READ_WRITE = 3;
const TYPE1_KNOWN = 7;
const IOAS_KNOWN = 7;
const IOAS_RIGHTS = 6;

export const DMA_012: Rule = {
  id: 'DMA-012',
  title: 'Flags of mapping and of unmapping are not mixed up, and there is at least one right',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `READ and WRITE of MAP_DMA are the rights of the device. UNMAP_DMA has flags of its own: 1 asks for the dirty bitmap, 2 unmaps everything, 4 lets the addresses go. A driver that hands the flags of the mapping
to the unmapping asks for a bitmap of everything: EINVAL, each time, and nothing is ever unmapped.`,
  sources: [
    'linux/vfio.h: VFIO_DMA_MAP_FLAG_*, VFIO_DMA_UNMAP_FLAG_*',
    'vfio_iommu_type1.c: vfio_iommu_type1_unmap_dma, vfio_dma_do_map',
    'ixy, libixy-vfio.c: vfio_unmap_dma passed VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE',
  ],
  decided: `UNMAP_DMA with other flags than none, GET_DIRTY_BITMAP, ALL, VADDR, or ALL with VADDR; a request to map with neither READ nor WRITE, or with flags that there are not.`,
  wrongWhen: 'A flag of a kernel newer than this rule.',
  compliant: 'UNMAP_DMA with flags 0.',
  watch: (check) => {
    const unmapFlags: ReadonlySet<number> = new Set([
      0,
      DMA_UNMAP_GET_DIRTY_BITMAP,
      DMA_UNMAP_ALL,
      DMA_UNMAP_VADDR,
      DMA_UNMAP_ALL | DMA_UNMAP_VADDR,
    ]);
    return {
      ioctl: {
        ...onMap(check.story, ({ flags, space, readable, writable }, { event, name, device }) => {
          if (device?.isLyon === true) return;
          check.judged();
          const old = name === 'VFIO_IOMMU_MAP_DMA';
          const unknown = flags & ~(old ? TYPE1_KNOWN : IOAS_KNOWN);
          if (unknown === 0 && (readable || writable)) return;
          const shown = flagNames(old ? DMA_MAP_FLAGS : IOAS_MAP_FLAGS, flags >>> 0);
          check.report({
            key: unknown === 0 ? 'no right' : `map ${hex(flags >>> 0)}`,
            object: space.object,
            message:
              unknown === 0
                ? `a request to map with flags ${hex(flags)}: the device may neither read nor write (${hex(old ? READ_WRITE : IOAS_RIGHTS)} is both)`
                : `a request to map with flags ${shown}, which there are not`,
            evidence: [{ event: event.number, note: event.errno === 0 ? 'the request' : 'refused' }],
          });
        }),
        ...onUnmap(check.story, ({ flags, space }, { event }) => {
          check.judged();
          if (unmapFlags.has(flags)) return;
          check.report({
            key: `unmap ${hex(flags >>> 0)}`,
            object: space.object,
            message: `UNMAP_DMA with flags ${flagNames(DMA_UNMAP_FLAGS, flags >>> 0)}${flags === READ_WRITE ? ': these are READ and WRITE of MAP_DMA' : ''}`,
            evidence: [{ event: event.number, note: event.errno === 0 ? 'the request' : 'refused' }],
          });
        }),
      },
    };
  },
};
