// SPDX-License-Identifier: Apache-2.0
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { RegionStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { Rate, timeText } from './rate.js';

const PER_SECOND = 100;
const REGION_MMAP = 4;

export const PERF_002: Rule = {
  id: 'PERF-002',
  title: 'A BAR that can be mapped is not accessed by read and write',
  severity: 'note',
  // A monitor whose guest's accesses trap has no choice.
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'A system call for each register costs hundreds of nanoseconds, a store to a mapped one a few.',
  sources: ['linux/vfio.h: VFIO_REGION_INFO_FLAG_MMAP', 'vfio_pci_rdwr.c: vfio_pci_bar_rw'],
  decided: 'More than 100 reads and writes within a second of a region whose information has the MMAP flag.',
  wrongWhen: 'The page of the MSI-X table, and areas that a sparse mapping leaves out.',
  compliant: 'mmap the region, and use loads and stores.',
  watch: (check) => {
    const rates = new Map<string, { device: DeviceLife; region: number; rate: Rate; total: number }>();
    const access = ({ device, region, event }: RegionStep): void => {
      if (((device.state.regions.get(region)?.flags ?? 0) & REGION_MMAP) === 0) return;
      check.judged();
      const key = `${device.id} ${region}`;
      const held = rates.get(key) ?? { device, region, rate: new Rate(), total: 0 };
      rates.set(key, held);
      held.rate.add(event.time, event.number);
      held.total += event.duration;
    };
    return {
      on: { 'region-read': access, 'region-write': access },
      end: () => {
        for (const { device, region, rate, total } of rates.values()) {
          if (rate.peak <= PER_SECOND) continue;
          const name = regionName(region);
          check.report({
            key: name,
            device,
            message: `${name} can be mapped, but was read and written ${rate.total} times by system calls, ${rate.peak} within one second: ${timeText(total)}`,
            evidence: [{ event: rate.event, note: 'the busiest second begins here' }],
          });
        }
      },
    };
  },
};
