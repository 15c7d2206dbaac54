// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import { Intervals } from '../../../session/intervals.js';
import type { MappedRegion } from '../../../session/mappings.js';
import { EventFlag } from '../../../traces/model.js';
import type { Rule } from '../../check/rule.js';

const SIGBUS = 7;
const SIGSEGV = 11;
/** Of those that were unmapped, so many are remembered in each process. */
const REMEMBERED = 1024;

const part = (whole: MappedRegion, start: bigint, length: bigint): MappedRegion => ({
  ...whole,
  start,
  length,
  offset: whole.offset + (start - whole.start),
});

export const BAR_009: Rule = {
  id: 'BAR-009',
  title: 'No load or store after the mapping, or the device behind it, is gone',
  severity: 'error',
  kernel: 'allows',
  basis: 'proven',
  needs: ['accesses'],
  why: `An access to a BAR that was unmapped ends in SIGSEGV, or hits what was mapped there since; one to a device that does not answer
(memory decoding off, D3, pulled out) in SIGBUS or all ones. A thread that still polls while another one cleans up is the usual cause.`,
  sources: ['vfio_pci_core.c: vfio_pci_mmap_fault (VM_FAULT_SIGBUS)'],
  decided: `A load or store that never completed; or a SIGSEGV or SIGBUS that ended the process at an address where a BAR had been mapped
before and nothing was since.`,
  wrongWhen:
    'What the driver handles in a signal handler of its own ends no process and is not seen as such.',
  compliant: 'Stop every thread that touches the device, then unmap.',
  watch: (check) => {
    const gone = new Map<number, Intervals<MappedRegion>>();
    return {
      access: ({ device, region, offset, direction }) => {
        check.judged();
        return (row) => {
          if ((row.flags & EventFlag.INTENT) === 0) return;
          check.report({
            key: `${direction} ${regionName(region)}+${hex(offset)}`,
            device,
            message: `a ${direction} at ${regionName(region)}+${hex(offset)} never completed`,
            evidence: [{ event: row.event, note: 'the access that ended the thread' }],
          });
        };
      },
      on: {
        memory: ({ process, regions, start, length, ok }) => {
          if (!ok) return;
          const held = gone.get(process) ?? new Intervals<MappedRegion>();
          gone.set(process, held);
          held.remove(start, length, part);
          for (const region of regions) if (held.size < REMEMBERED) held.add(region, part);
        },
        signal: ({ event, process }) => {
          if (event.op !== SIGBUS && event.op !== SIGSEGV) return;
          const mapping = gone.get(process)?.at(event.offset);
          if (mapping === undefined) return;
          const device = check.story.devices.get(mapping.object);
          const offset = mapping.offset + (event.offset - mapping.start);
          const place = `${regionName(mapping.region)}+${hex(offset)}`;
          check.report({
            key: `unmapped ${place}`,
            ...(device !== undefined && { device }),
            message: `the process ended at an address where ${place} had been mapped`,
            evidence: [{ event: event.number, note: 'the mapping was gone' }],
          });
        },
      },
    };
  },
};
