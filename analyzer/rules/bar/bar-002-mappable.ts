// SPDX-License-Identifier: Apache-2.0
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { MapStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const REGION_MMAP = 4;
const MAP_SHARED = 1;
const PAGE = 4096n;

/** What the kernel will refuse it for; undefined when nothing is wrong with it, or the region is not known. */
function fault({ device, region, offset, length, mapFlags }: MapStep): string | undefined {
  const known = device.state.regions.get(region);
  if ((mapFlags & 3) !== MAP_SHARED && (mapFlags & 3) !== 3) return 'it is not MAP_SHARED';
  if (offset % PAGE !== 0n) return 'its offset is no whole page';
  if (known === undefined) return undefined;
  if ((known.flags & REGION_MMAP) === 0) return 'the region lacks the MMAP flag';
  const end = ((known.size + PAGE - 1n) / PAGE) * PAGE;
  return offset + length > end ? 'it reaches past the end of the region' : undefined;
}

export const BAR_002: Rule = {
  id: 'BAR-002',
  title: 'Only regions with the MMAP flag are mapped: shared, page-aligned, within their size',
  severity: 'error',
  profiles: { lyon2010: 'off', test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `The kernel answers EINVAL to a mapping that the region does not allow. A driver that goes on without looking at the result has no
registers, or maps something else in their place.`,
  sources: ['vfio_pci_core.c: vfio_pci_core_mmap', 'linux/vfio.h: VFIO_REGION_INFO_FLAG_MMAP'],
  decided: `A mmap of a region failed for one of these reasons, no later mmap of the region succeeded, and the driver went on to use
the device. A failed attempt after which the region was mapped, or nothing came any more, is a note.`,
  wrongWhen:
    'The driver tries a mapping to find out whether there is one, and uses read and write otherwise.',
  compliant:
    'Look at flags and size of GET_REGION_INFO first; without MMAP use read and write on the descriptor.',
  watch: (check) => {
    const refused = new Map<DeviceLife, Map<number, { readonly event: number; readonly why: string }>>();
    return {
      on: {
        map: (step) => {
          check.judged();
          const of = refused.get(step.device) ?? new Map();
          refused.set(step.device, of);
          const why = step.ok ? undefined : fault(step);
          if (why !== undefined) of.set(step.region, { event: step.event.number, why });
          else if (step.ok) {
            const tried = of.get(step.region);
            of.delete(step.region);
            if (tried !== undefined) tell(step.device, step.region, tried, 'note');
          }
        },
      },
      end: () => {
        for (const [device, of] of refused) {
          for (const [region, tried] of of) {
            const went = device.accessEvent > tried.event || (device.masterSince?.event ?? -1) > tried.event;
            tell(device, region, tried, went ? 'error' : 'note');
          }
        }
      },
    };
    function tell(
      device: DeviceLife,
      region: number,
      { event, why }: { readonly event: number; readonly why: string },
      severity: 'error' | 'note',
    ): void {
      const name = regionName(region);
      check.report({
        key: `${name} ${why}`,
        device,
        severity,
        message: `a mapping of ${name} was refused: ${why}`,
        evidence: [{ event, note: why }],
      });
    }
  },
};
