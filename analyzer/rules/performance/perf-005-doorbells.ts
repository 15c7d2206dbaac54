// SPDX-License-Identifier: Apache-2.0
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { placeKey, placeName } from './place.js';
import { Rate } from './rate.js';

const PER_SECOND = 10_000;
const SINGLE = 0.9;
const REPEATS = 10;

interface Doorbell {
  readonly name: string;
  readonly device: DeviceLife;
  readonly rate: Rate;
  readonly repeats: Rate;
  singles: number;
  low: number;
}

export const PERF_005: Rule = {
  id: 'PERF-005',
  title: 'Doorbells are rung once for a batch, and never for nothing',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: 'Each doorbell is a write over the bus to an uncached register, at which write buffers are drained. One can tell of many new entries.',
  sources: [
    'NVM Express 1.4 §3.1.24 (submission queue y tail doorbell)',
    'Intel 82574 datasheet §7.2.4 (tail pointer)',
  ],
  decided: `A doorbell that is rung more than 10,000 times within a second, nine in ten of them for one entry more than the one before; or at least 10 times with the
value that it held. Doorbells that take the number of a queue, not a position (virtio), are left out.`,
  wrongWhen:
    'One request at a time is all there is to do. NVMe with shadow doorbells rings only when the device asks for it.',
  compliant: 'Fill all entries at hand, then ring once.',
  watch: (check) => {
    const doorbells = new Map<string, Doorbell>();
    return {
      access: (point) => {
        const { device, direction, register } = point;
        if (direction !== 'store' || register === undefined || !isDoorbell(register.name)) return undefined;
        if (/^(queue_)?notify/.test(register.name)) return undefined;
        check.judged();
        const key = placeKey(point);
        const known = doorbells.get(key);
        const held: Doorbell = known ?? {
          name: placeName(point),
          device,
          rate: new Rate(),
          repeats: new Rate(),
          singles: 0,
          low: -1,
        };
        if (known === undefined) doorbells.set(key, held);
        return (row) => {
          const { low, event } = row;
          if (low === held.low) held.repeats.add(row.time, event);
          else if (low === held.low + 1) held.singles++;
          held.low = low;
          held.rate.add(row.time, event);
        };
      },
      end: () => {
        for (const { name, device, rate, repeats, singles } of doorbells.values()) {
          const key = name.replace(/\d+/g, 'n');
          if (repeats.total >= REPEATS)
            check.report({
              key: `${key} repeated`,
              device,
              message: `${name} was rung ${repeats.total} times of ${rate.total} with the value that it held`,
              evidence: [{ event: repeats.event, note: 'the busiest second of repeats begins here' }],
            });
          if (rate.peak > PER_SECOND && singles >= SINGLE * rate.total)
            check.report({
              key: `${key} for each entry`,
              device,
              message: `${name} was rung ${rate.total} times, ${rate.peak} within one second, and ${singles} times for one entry`,
              evidence: [{ event: rate.event, note: 'the busiest second begins here' }],
            });
        }
      },
    };
  },
};
