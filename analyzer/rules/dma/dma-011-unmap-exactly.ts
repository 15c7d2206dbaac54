// SPDX-License-Identifier: Apache-2.0
import { IOAS_UNMAP } from '../../../abi/iommufd/ioas.js';
import { decode } from '../../../abi/layout.js';
import { hex, size as sizeText } from '../../../abi/text.js';
import { DMA_UNMAP, DMA_UNMAP_ALL, DMA_UNMAP_VADDR } from '../../../abi/vfio/type1.js';
import type { Rule } from '../../check/rule.js';
import { onUnmap } from './requests.js';

const EINVAL = 22;
const ENOENT = 2;
/** iommufd: 0 to the end means everything. */
const EVERYTHING = (1n << 64n) - 1n;

export const DMA_011: Rule = {
  id: 'DMA-011',
  title: 'Exactly what was mapped is unmapped, and the size that comes back is looked at',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A mapping is unmapped as a whole. Type 1 version 2 and iommufd refuse a request that would cut one; version 1 says success, and its size tells what really went: nothing when the request begins
inside of a mapping, more than was asked for when it ends inside of one.`,
  sources: [
    'vfio_iommu_type1.c: vfio_dma_do_unmap (the long comment on bisection)',
    'iommufd/io_pagetable.c: iopt_unmap_iova_range',
  ],
  decided: `A request to unmap was refused and its start or its end lies inside of a mapping; or it succeeded, and the size that came back differs from the request: larger, or 0 although something of it is mapped.`,
  wrongWhen: `A range that covers several mappings with holes is fine, and so is one where nothing is mapped at all (iommufd: ENOENT).`,
  compliant: 'Unmap with the IOVA and the size of the request that mapped it.',
  watch: (check) => ({
    ioctl: onUnmap(check.story, ({ space, iova, size, flags }, { ok, event, after, name }) => {
      if ((flags & (DMA_UNMAP_ALL | DMA_UNMAP_VADDR)) !== 0 || size === 0n) return;
      check.judged();
      const held = check.story.session.dma.space(space.object, space.ioas);
      const about = { object: space.object };
      if (!ok) {
        if (event.errno !== EINVAL && event.errno !== ENOENT) return;
        if (size === EVERYTHING) return;
        const first = held.at(iova);
        const last = held.at(iova + size - 1n);
        const cut =
          first !== undefined && first.start < iova
            ? first
            : last !== undefined && last.start + last.length > iova + size
              ? last
              : undefined;
        if (cut === undefined) return;
        check.report({
          key: 'cut',
          ...about,
          message: `${sizeText(size)} at ${hex(iova)} would cut the mapping of ${sizeText(cut.length)} at ${hex(cut.start)}: refused`,
          evidence: [{ event: event.number, note: 'refused' }],
        });
        return;
      }
      const answered =
        name === 'IOMMU_IOAS_UNMAP' ? decode(IOAS_UNMAP, after).length : decode(DMA_UNMAP, after).size;
      if (answered === undefined || answered === size) return;
      // What is still held after an answer of 0 was not touched.
      if (answered === 0n && held.within(iova, size).length > 0) {
        check.report({
          key: 'nothing',
          ...about,
          message: `nothing was unmapped of ${sizeText(size)} at ${hex(iova)}, where something is mapped`,
          evidence: [{ event: event.number, note: 'success, with size 0' }],
        });
      } else if (answered > size) {
        check.report({
          key: 'more',
          ...about,
          message: `${sizeText(answered)} were unmapped at ${hex(iova)}, of which only ${sizeText(size)} were asked for`,
          evidence: [{ event: event.number, note: 'the size that came back' }],
        });
      }
    }),
  }),
};
