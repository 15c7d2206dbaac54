// SPDX-License-Identifier: Apache-2.0
import { size } from '../../../abi/text.js';
import type { DmaSpace } from '../../../session/story/address-spaces.js';
import type { Rule } from '../../check/rule.js';
import { PerKey } from './rate.js';

const RATIO = 16;

interface Run {
  /** The latest mapping's ends. */
  iova: bigint;
  address: bigint;
  rights: string;
  count: number;
  bytes: bigint;
  event: number;
}

export const PERF_004: Rule = {
  id: 'PERF-004',
  title: 'Contiguous memory is mapped in one piece',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `Each call pins, and each mapping is an entry of a tree that the kernel searches at every unmap; in one piece the IOMMU may use large pages. The number of
mappings of a container is limited (dma_entry_limit).`,
  sources: ['vfio_iommu_type1.c: vfio_pin_map_dma, dma_entry_limit'],
  decided: `More than 16 mappings in a row of one address space, each of which goes on where the one before ends, in IOVA and in the process’s memory, with the same
rights.`,
  wrongWhen:
    'Pieces that are unmapped one by one (SPDK maps 2 MiB at a time for that reason): not counted when each is 2 MiB or larger.',
  compliant: 'One VFIO_IOMMU_MAP_DMA for the whole; hugepages.',
  watch: (check) => {
    const runs = new PerKey<DmaSpace, Run>(() => ({
      iova: -1n,
      address: -1n,
      rights: '',
      count: 0,
      bytes: 0n,
      event: -1,
    }));
    const finish = (space: DmaSpace, run: Run): void => {
      if (run.count > RATIO)
        check.report({
          key: 'pieces',
          object: space.object,
          message: `${size(run.bytes)} that lie in one piece, in the process and in IOVA, were mapped by ${run.count} calls`,
          evidence: [{ event: run.event, note: 'the first piece' }],
        });
    };
    return {
      on: {
        'dma-map': ({ space, mapping, event }) => {
          check.judged();
          const run = runs.of(space);
          const { start, length, address, readable, writable } = mapping;
          const rights = `${readable} ${writable}`;
          const goesOn =
            run.iova === start && run.address === address && run.rights === rights && length < 1n << 21n;
          if (!goesOn) {
            finish(space, run);
            run.count = 0;
            run.bytes = 0n;
            run.event = event.number;
          }
          run.count++;
          run.bytes += length;
          run.iova = start + length;
          run.address = address + length;
          run.rights = rights;
        },
      },
      end: () => {
        for (const [space, run] of runs) finish(space, run);
      },
    };
  },
};
