// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { RegionStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { msixOf, overlaps } from './structures.js';

export const MSI_005: Rule = {
  id: 'MSI-005',
  title: 'The MSI-X table is neither read nor written through the descriptor',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'alters',
  basis: 'proven',
  why: 'Writes to it vanish and reads answer ones, both without an error: what the driver believes to have there is not so.',
  sources: [
    'vfio_pci_rdwr.c: vfio_pci_core_do_io_rw (x_start, x_end)',
    'Lyon 2010: vfio_msix_check answered EINVAL',
  ],
  decided: 'A read or write of the region that covers bytes of the MSI-X table.',
  wrongWhen:
    'A dump of the whole BAR is harmless as long as nobody believes the ones: a note when more than the table was read.',
  compliant: 'Leave the table out.',
  watch: (check) => {
    const look = ({ type, device, region, offset, length, event }: RegionStep): void => {
      const table = msixOf(device.state.config)?.table;
      if (table === undefined) return;
      check.judged();
      if (table.bar !== region || !overlaps(table, offset, length)) return;
      const dump = type === 'region-read' && (offset < table.start || offset + length > table.end);
      const what = type === 'region-read' ? 'read' : 'write';
      check.report({
        key: what,
        device,
        ...(dump ? { severity: 'note' as const } : {}),
        message: `a ${what} of the MSI-X table at ${regionName(region)}+${hex(offset)}: ${what === 'read' ? 'it answers ones' : 'it vanishes'}`,
        evidence: [{ event: event.number, note: what === 'read' ? 'ones' : 'dropped' }],
      });
    };
    return { on: { 'region-read': look, 'region-write': look } };
  },
};
