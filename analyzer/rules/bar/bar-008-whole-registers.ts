// SPDX-License-Identifier: Apache-2.0
import { countText, hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { RegionStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const WIDTHS: ReadonlySet<number> = new Set([1, 2, 4, 8]);

export const BAR_008: Rule = {
  id: 'BAR-008',
  title: 'read and write of a BAR move one register at a time',
  severity: 'note',
  profiles: { vmm: 'off' },
  kernel: 'alters',
  basis: 'proven',
  why: `The kernel chops a read or write of a BAR into aligned pieces of 4, 2 and 1 bytes (8 too, since Linux 6.11): an odd length becomes several
accesses, which is not atomic, and each of them has the side effects of its register.`,
  sources: ['vfio_pci_rdwr.c: vfio_pci_core_do_io_rw'],
  decided:
    'A read or write of a BAR whose length is not 1, 2, 4 or 8 bytes, or whose offset is no multiple of it.',
  wrongWhen: 'A dump of memory that has no side effects, or of a BAR on purpose.',
  compliant: 'Move one register with its own width; map the BAR for more.',
  watch: (check) => {
    const look = ({ device, region, offset, length, event, type }: RegionStep): void => {
      if (region > 5 || length === 0) return;
      check.judged();
      if (WIDTHS.has(length) && offset % length === 0) return;
      const what = type === 'region-read' ? 'read' : 'write';
      const place = `${regionName(region)}+${hex(offset)}`;
      check.report({
        key: `${what} ${place}/${length}`,
        device,
        message: `a ${what} of ${countText(length, 'byte')} at ${place} reaches the device in pieces`,
        evidence: [{ event: event.number, note: 'not one register' }],
      });
    };
    return { on: { 'region-read': look, 'region-write': look } };
  },
};
