// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

export const DMA_018: Rule = {
  id: 'DMA-018',
  title: 'A BAR that is mapped for DMA is mapped so on purpose',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `Type 1 lets a device reach another one's BAR (peer to peer) when its mapping is among what is mapped for DMA; iommufd by itself refuses. A driver that maps all that it has gives its devices each
other's registers.`,
  sources: [
    'vfio_iommu_type1.c: follow_fault_pfn (VM_PFNMAP)',
    'tools/testing/selftests/vfio/vfio_dma_mapping_mmio_test.c',
  ],
  decided: 'A request to map memory of which a part is a mapping of a BAR.',
  wrongWhen: 'It is meant: peer to peer is a feature. QEMU does it for its guests (profile vmm: off).',
  compliant: 'Map buffers, one by one.',
  watch: (check) => ({
    ioctl: onMap(check.story, ({ space, vaddr, size }, { ok, event, process }) => {
      check.judged();
      const [bar] = check.story.session.mappings.within(process, vaddr, size);
      if (bar === undefined) return;
      check.report({
        key: regionName(bar.region),
        object: space.object,
        message: `the memory at ${hex(vaddr)} that was ${ok ? '' : 'to be '}mapped for DMA is ${regionName(bar.region)} of a device`,
        evidence: [{ event: event.number, note: ok ? 'mapped' : 'refused' }],
      });
    }),
  }),
};
