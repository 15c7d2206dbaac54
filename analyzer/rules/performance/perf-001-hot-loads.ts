// SPDX-License-Identifier: Apache-2.0

import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { placeKey, placeName } from './place.js';
import { PerKey, Rate, timeText } from './rate.js';

const LOADS_PER_SECOND = 10_000;
const SAME = 0.9;
/** Loads that follow each other more slowly than this are no loop. */
const LOOP_NS = 1e6;
const DOORBELLS_PER_SECOND = 1000;

interface Loads {
  readonly name: string;
  readonly device: DeviceLife;
  readonly rate: Rate;
  same: number;
  low: number;
  high: number;
  last: number;
  /** ns between loads of the same value in a row. */
  burnt: number;
}

export const PERF_001: Rule = {
  id: 'PERF-001',
  title: 'The data path does not load registers',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `A load from a device waits for the answer, about a microsecond on PCI Express, while a store is posted. What a driver needs in its data path the device can
write to memory: completion entries, descriptor status, a head pointer.`,
  sources: [
    'PCIe 5.0 §2.4.1 (ordering: reads are non-posted)',
    'NVM Express 1.4 §4.6 (completion queue entry, phase tag)',
  ],
  decided: `One register is loaded more than 10,000 times within a second and at least nine loads in ten return what the one before returned; or, in a second with more than
1,000 doorbells, as many loads as doorbells. The cost is the time between loads of the same value that are less than a millisecond apart.`,
  wrongWhen:
    'A device that can only be polled by a register. Waiting for a reset to end is such a loop, too, but seldom lasts.',
  compliant: 'Poll the completion entry in memory, or wait for an interrupt.',
  watch: (check) => {
    const places = new Map<string, Loads>();
    const doorbells = new PerKey<DeviceLife, Rate>(() => new Rate());
    const loads = new PerKey<DeviceLife, Rate>(() => new Rate());
    return {
      access: (point) => {
        const { device, direction, register } = point;
        if (direction === 'store' && register !== undefined && isDoorbell(register.name)) {
          const rate = doorbells.of(device);
          return (row) => rate.add(row.time, row.event);
        }
        if (direction !== 'load') return undefined;
        check.judged();
        const key = placeKey(point);
        const known = places.get(key);
        const held: Loads = known ?? {
          name: placeName(point),
          device,
          rate: new Rate(),
          same: 0,
          low: -1,
          high: 0,
          last: 0,
          burnt: 0,
        };
        if (known === undefined) places.set(key, held);
        const all = loads.of(device);
        return (row) => {
          const { low, high, time } = row;
          if (low === held.low && high === held.high) {
            held.same++;
            const gap = time - held.last;
            if (gap < LOOP_NS) held.burnt += gap;
          }
          held.low = low;
          held.high = high;
          held.last = time;
          held.rate.add(time, row.event);
          all.add(time, row.event);
        };
      },
      end: () => {
        for (const { name, device, rate, same, burnt } of places.values()) {
          if (rate.peak <= LOADS_PER_SECOND || same < SAME * rate.total) continue;
          check.report({
            key: name,
            device,
            message: `${name} was loaded ${rate.total} times, ${rate.peak} within one second, and ${same} times it held what it had held before: ${timeText(burnt)} of polling`,
            evidence: [{ event: rate.event, note: 'the busiest second begins here' }],
          });
        }
        for (const [device, rung] of doorbells) {
          const rate = loads.of(device);
          if (rung.peak <= DOORBELLS_PER_SECOND || rate.peak < rung.peak) continue;
          check.report({
            key: 'loads per doorbell',
            device,
            message: `${rate.peak} loads in the busiest second, ${rung.peak} doorbells in theirs: each piece of work waits for the device`,
            evidence: [{ event: rate.event, note: 'the busiest second of loads begins here' }],
          });
        }
      },
    };
  },
};
