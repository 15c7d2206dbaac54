// SPDX-License-Identifier: Apache-2.0
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

const PROT_WRITE = 2;
const PROT_EXEC = 4;
const REGION_WRITE = 2;

export const BAR_011: Rule = {
  id: 'BAR-011',
  title: 'A mapping asks for no more than the region allows, and never for PROT_EXEC',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `A device that can write its own registers could put code where the process executes it. A region that lacks the WRITE flag is not
meant to be stored to.`,
  sources: ['linux/vfio.h: VFIO_REGION_INFO_FLAG_WRITE'],
  decided:
    'A mmap of a region that succeeded has PROT_EXEC, or has PROT_WRITE where GET_REGION_INFO lacks the WRITE flag.',
  wrongWhen:
    'The personality READ_IMPLIES_EXEC adds PROT_EXEC behind the back of the program; that is not seen here.',
  compliant: 'Map with PROT_READ and PROT_WRITE, as the flags say.',
  watch: (check) => ({
    on: {
      map: ({ ok, device, region, protection, event }) => {
        if (!ok) return;
        check.judged();
        const name = regionName(region);
        const flags = device.state.regions.get(region)?.flags;
        const excess = [
          ...((protection & PROT_EXEC) !== 0 ? ['PROT_EXEC'] : []),
          ...((protection & PROT_WRITE) !== 0 && flags !== undefined && (flags & REGION_WRITE) === 0
            ? ['PROT_WRITE of a region that is not writable']
            : []),
        ];
        for (const what of excess) {
          check.report({
            key: `${name} ${what}`,
            device,
            message: `${name} was mapped with ${what}`,
            evidence: [{ event: event.number, note: what }],
          });
        }
      },
    },
  }),
};
