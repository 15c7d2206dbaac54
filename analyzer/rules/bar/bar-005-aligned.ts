// SPDX-License-Identifier: Apache-2.0
import { countText, hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

export const BAR_005: Rule = {
  id: 'BAR-005',
  title: 'Registers are accessed naturally aligned, and not two of them at once',
  severity: 'warning',
  kernel: 'allows',
  basis: 'proven',
  needs: ['accesses'],
  why: `What a device does with an access that is not aligned to its width, or that spans two registers, is its own affair: it may be split
on the way, answered with ones, or ignored.`,
  sources: [
    'PCIe 5.0 §2.2.5 (byte enables)',
    'NVM Express 1.4 §3.1: "must be accessed in their native width or aligned 32 bits"',
  ],
  decided: `A load or store of 2, 4 or 8 bytes whose offset is no multiple of its width; or one that begins in a register that is known
and reaches into the next known one.`,
  wrongWhen:
    'The device says that it takes such accesses. Halves of a 64-bit register are fine, and bytes of a structure are.',
  compliant: "Use the register's own width at its own offset.",
  watch: (check) => ({
    access: ({ device, region, offset, width, direction, register }) => {
      if (width > 8 || width === 0) return undefined;
      check.judged();
      const place = `${regionName(region)}+${hex(offset)}`;
      const split = offset % width !== 0;
      const end = offset + width;
      const next = register === undefined ? undefined : device.state.lookup(region)(end - 1);
      const two =
        register !== undefined && next !== undefined && next.start !== register.start && next.start < end;
      if (!split && !two) return undefined;
      const how = split ? 'is not aligned' : `spans ${register?.name} and ${next?.name}`;
      return ({ event }) => {
        check.report({
          key: `${direction} ${place}/${width}`,
          device,
          message: `a ${direction} of ${countText(width, 'byte')} at ${place} ${how}`,
          evidence: [{ event, note: how }],
        });
      };
    },
  }),
};
