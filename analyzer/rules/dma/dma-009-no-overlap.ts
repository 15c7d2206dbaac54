// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { hex, size as sizeText } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { watchIgnored } from './ignored-failures.js';

const EEXIST = 17;
const EBUSY = 16;

export const DMA_009: Rule = {
  id: 'DMA-009',
  title: 'No IOVA is mapped twice',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `The second mapping is refused (EEXIST; EBUSY in 2010), and the IOVA leads to the first memory still. A driver that does not look sends the device to memory that it takes for something else.`,
  sources: [
    'vfio_iommu_type1.c: vfio_dma_do_map (EEXIST)',
    'iommufd/io_pagetable.c: iopt_alloc_area_pages (EEXIST with a fixed IOVA)',
  ],
  decided: `A request to map was refused with EEXIST or EBUSY, that memory was not mapped by another request later, and the device was used after it.`,
  wrongWhen: `Trying is legal: who takes another IOVA, or unmaps and maps again, is not reported; nor is who gives up.`,
  compliant: 'Keep account of the IOVAs, and look at the result.',
  watch: (check) =>
    watchIgnored(
      check,
      (_, errno) => errno === EEXIST || errno === EBUSY,
      ({ request: { space, iova, size }, event, errno, used }) => {
        check.report({
          key: 'overlap',
          object: space.object,
          message: `${sizeText(size)} bytes at ${hex(iova)} could not be mapped (${errnoName(errno)}: some of it is), and the device was used all the same`,
          evidence: [
            { event, note: errnoName(errno) },
            { event: used, note: 'the device is used' },
          ],
        });
      },
    ),
};
