// SPDX-License-Identifier: Apache-2.0
import { countText, size as sizeText } from '../../../abi/text.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';

export const CLN_001: Rule = {
  id: 'CLN-001',
  title: 'What was mapped for DMA is unmapped before its address space goes',
  severity: 'note',
  kernel: 'allows',
  basis: 'proven',
  why: `Mapped memory is pinned and counted against the limit until it is unmapped, or its container or iommufd is closed. The kernel cleans up at the
close; a driver that leaves it to that leaks as soon as it keeps the container.`,
  sources: ['vfio_iommu_type1.c: vfio_iommu_type1_release', 'Lyon 2010: vfio_dma_unmapall at close'],
  decided:
    'A container or iommufd went, by its last close or with its process, while mappings were live in it; or they were live when the recording ended.',
  wrongWhen: 'Leaving it to the exit of the process is legal, and what most drivers do: it stays a note.',
  compliant: 'Unmap what was mapped, or close the container and know that it is the last use of it.',
  watch: (check) => {
    const told = new Set<DmaSpace>();
    let maps = false;
    const tell = (space: DmaSpace, event: number, when: string): void => {
      if (told.has(space)) return;
      const mappings = [...check.story.session.dma.space(space.object, space.ioas)];
      if (mappings.length === 0) return;
      told.add(space);
      const bytes = mappings.reduce((sum, { length }) => sum + length, 0n);
      check.report({
        key: `ioas ${space.ioas}`,
        object: space.object,
        message: `${countText(mappings.length, 'mapping')} (${sizeText(bytes)} in all) ${mappings.length === 1 ? 'was' : 'were'} live ${when}`,
        evidence: [{ event, note: when }],
      });
    };
    const gone = (objects: readonly number[], event: number, when: string): void => {
      for (const space of check.story.spaces.all())
        if (objects.includes(space.object)) tell(space, event, when);
    };
    return {
      on: {
        'dma-map': () => {
          maps = true;
          check.judged();
        },
        close: (step) => gone(step.gone, step.event.number, 'when it was closed'),
        exit: (step) => gone(step.gone, step.event.number, 'when the process ended'),
      },
      end: () => {
        if (!maps) return;
        for (const space of check.story.spaces.all())
          tell(space, check.story.latest.event, 'when the recording ended');
      },
    };
  },
};
