// SPDX-License-Identifier: Apache-2.0
import { countText, hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

/** IORESOURCE_PREFETCH */
const PREFETCHABLE = 0x2000n;

export const BAR_006: Rule = {
  id: 'BAR-006',
  title: 'Registers are not accessed by vector or string instructions (memcpy)',
  severity: 'warning',
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `memcpy picks the widest instruction of the machine it runs on: 16, 32 or 64 bytes, or a string move in any pieces. Registers have a
width and an order, and a device may answer the parts of such an access in any of them.`,
  sources: ['PCIe 5.0 §2.4 (ordering)', 'Linux: memcpy_toio and __iowrite32_copy exist for this'],
  decided: `A load or store of more than 8 bytes, or of a string instruction, in a BAR that is not prefetchable. A warning where a register
is known at the offset, a note elsewhere.`,
  wrongWhen:
    'The range is memory (a controller memory buffer, a frame buffer) or takes write-combined doorbells: then it is what is wanted.',
  compliant: 'Copy to device memory by volatile accesses of one width.',
  watch: (check) => ({
    access: ({ device, region, offset, width, direction, register }) => {
      if (region > 5) return undefined;
      check.judged();
      if (width >= 1 && width <= 8) return undefined;
      const resource = device.definition?.resources.find(({ index }) => index === region);
      if (resource !== undefined && (resource.flags & PREFETCHABLE) !== 0n) return undefined;
      const place = `${regionName(region)}+${hex(offset)}`;
      const how = width === 0 ? 'a string instruction' : `an instruction of ${countText(width, 'byte')}`;
      return ({ event }) => {
        check.report({
          key: `${direction} ${regionName(region)} ${register?.name ?? ''}`,
          device,
          severity: register === undefined ? 'note' : 'warning',
          message: `a ${direction} at ${place}${register === undefined ? '' : ` (${register.name})`} by ${how}`,
          evidence: [{ event, note: how }],
        });
      };
    },
  }),
};
