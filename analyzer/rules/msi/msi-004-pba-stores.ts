// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';
import { msixOf, overlaps } from './structures.js';

export const MSI_004: Rule = {
  id: 'MSI-004',
  title: 'The Pending Bit Array is read, never written',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: 'The array is read-only for software, and what a write does is not defined. VFIO does not keep it from being written, not even by write().',
  sources: [
    'PCIe 5.0 §7.7.2.8 ("software should never write")',
    'vfio_pci_rdwr.c: the excluded range is the table only',
  ],
  decided:
    'A store, or a write through the descriptor, to the bytes that the MSI-X capability says are the Pending Bit Array.',
  wrongWhen: 'Reading it to poll is legal and not reported.',
  compliant: 'Load only.',
  watch: (check) => ({
    access: ({ device, region, offset, width, direction }) => {
      const pba = msixOf(device.state.config)?.pba;
      if (direction === 'load' || pba === undefined) return undefined;
      check.judged();
      if (pba.bar !== region || !overlaps(pba, offset, width)) return undefined;
      return (row) => {
        check.report({
          key: 'store',
          device,
          message: `a ${direction} to the Pending Bit Array at ${regionName(region)}+${hex(offset)}`,
          evidence: [{ event: row.event, note: 'the store' }],
        });
      };
    },
    on: {
      'region-write': ({ device, region, offset, length, event }) => {
        const pba = msixOf(device.state.config)?.pba;
        if (pba === undefined) return;
        check.judged();
        if (pba.bar !== region || !overlaps(pba, offset, length)) return;
        check.report({
          key: 'write',
          device,
          message: `a write to the Pending Bit Array at ${regionName(region)}+${hex(offset)}`,
          evidence: [{ event: event.number, note: 'the write' }],
        });
      },
    },
  }),
};
