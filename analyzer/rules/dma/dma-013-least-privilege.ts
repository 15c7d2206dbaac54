// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

const EFAULT = 14;

export const DMA_013: Rule = {
  id: 'DMA-013',
  title: 'Memory that is only read is mapped for reading only',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A device that may write where it has only to read can be made to, by a bug or by an attacker in its firmware. Memory that the process itself may not write can't be mapped for the device to write either: EFAULT.`,
  sources: ['vfio_iommu_type1.c: vaddr_get_pfns (FOLL_WRITE when IOMMU_WRITE is asked for: EFAULT)'],
  decided: `A request to map with WRITE failed with EFAULT. Whether a mapping could do with fewer rights is not decided: what a buffer is for was not recorded.`,
  wrongWhen: `EFAULT also comes where nothing is mapped at all. Allocators that serve both directions map everything for both: they are not reported.`,
  compliant: 'VFIO_DMA_MAP_FLAG_READ alone for what the device only fetches.',
  watch: (check) => ({
    ioctl: onMap(check.story, ({ space, vaddr, writable }, { event }) => {
      check.judged();
      if (event.errno !== EFAULT || !writable) return;
      check.report({
        key: 'not writable',
        object: space.object,
        message: `the memory at ${hex(vaddr)} could not be mapped for the device to write: the process may not write it, or nothing is there`,
        evidence: [{ event: event.number, note: 'EFAULT' }],
      });
    }),
  }),
};
