// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { hex } from '../../../abi/text.js';
import { IOMMU_INFO } from '../../../abi/vfio/type1.js';
import type { Rule } from '../../check/rule.js';
import { onMap } from './requests.js';

const PAGE = 4096n;
const EINVAL = 22;
const END = 1n << 64n;

export const DMA_006: Rule = {
  id: 'DMA-006',
  title: 'Address, IOVA and size of a mapping are whole pages, and not nothing',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `An IOMMU maps pages. A buffer that does not begin and end at a page's boundary can't be mapped alone: the request is refused, and what the driver does then decides what happens.`,
  sources: [
    'vfio_iommu_type1.c: vfio_dma_do_map (EINVAL)',
    'Lyon 2010, Documentation/vfio.txt: "vaddr, dmaaddr, and size must all be page aligned"',
  ],
  decided: `A request to map was refused with EINVAL, and its address, IOVA or size is no multiple of the IOMMU's smallest page (VFIO_IOMMU_GET_INFO, else 4096 bytes), or the size is 0, or the end wraps round.`,
  wrongWhen: `A size that was rounded up to a page where the buffer is smaller exposes what lies beside it; from the request that can't be told. The IOMMU's pages can be larger than those of an iommufd that is
emulated: only what was refused is reported.`,
  compliant: 'Allocate with mmap or posix_memalign, in multiples of the page.',
  watch: (check) => {
    const pages = new Map<number, bigint>();
    return {
      ioctl: {
        ...onMap(check.story, ({ space, iova, size, vaddr, fixed }, { ok, event }) => {
          check.judged();
          if (ok || event.errno !== EINVAL) return;
          const page = pages.get(space.object) ?? PAGE;
          const odd = (value: bigint): boolean => value % page !== 0n;
          const wrong = [
            ...(size === 0n ? ['the size is 0'] : []),
            ...(odd(size) ? [`size ${hex(size)}`] : []),
            ...(odd(vaddr) ? [`address ${hex(vaddr)}`] : []),
            ...(fixed && odd(iova) ? [`IOVA ${hex(iova)}`] : []),
            ...(size > 0n && (vaddr + size > END || (fixed && iova + size > END))
              ? ['the end wraps round']
              : []),
          ];
          if (wrong.length === 0) return;
          const names = [
            ...(size === 0n ? ['empty'] : []),
            ...(odd(size) ? ['size'] : []),
            ...(odd(vaddr) ? ['address'] : []),
            ...(fixed && odd(iova) ? ['iova'] : []),
          ];
          check.report({
            key: names.join(' ') || 'wraps',
            object: space.object,
            message: `a request to map was refused: ${wrong.join(', ')}; pages are of ${page} bytes`,
            evidence: [{ event: event.number, note: 'EINVAL' }],
          });
        }),
        VFIO_IOMMU_GET_INFO: ({ object, after, ok }) => {
          const sizes = ok ? (decode(IOMMU_INFO, after).iova_pgsizes ?? 0n) : 0n;
          if (sizes !== 0n) pages.set(object, sizes & -sizes);
        },
      },
    };
  },
};
