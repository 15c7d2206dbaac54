// SPDX-License-Identifier: Apache-2.0
import { countText, hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

export const BAR_004: Rule = {
  id: 'BAR-004',
  title: 'No load or store behind the end of a region',
  severity: 'error',
  kernel: 'allows',
  basis: 'proven',
  needs: ['accesses'],
  why: `A BAR smaller than a page is mapped with the rest of its page: what lies there belongs to nobody, or to another function. The
kernel maps such a page only when it can reserve the rest, and nothing checks what the driver does in it.`,
  sources: ['vfio_pci_core.c: vfio_pci_probe_mmaps', 'vfio_pci_core.c: vfio_pci_core_mmap'],
  decided:
    'The offset and width of a load or store reach past the size that GET_REGION_INFO answered for the region.',
  wrongWhen: 'The size of the region was not asked for: then it is not decided.',
  compliant: 'Stay within the size of the region, not of the page.',
  watch: (check) => ({
    access: ({ device, region, offset, width, direction }) => {
      const size = device.state.regions.get(region)?.size;
      if (size === undefined) {
        check.unknown(`GET_REGION_INFO of ${regionName(region)} was not seen`);
        return undefined;
      }
      check.judged();
      if (BigInt(offset + width) <= size) return undefined;
      return ({ event }) => {
        check.report({
          key: `${regionName(region)}+${hex(offset)}`,
          device,
          message: `a ${direction} of ${countText(width, 'byte')} at ${regionName(region)}+${hex(offset)}, behind its ${hex(size)} bytes`,
          evidence: [{ event, note: 'behind the end of the region' }],
        });
      };
    },
  }),
};
