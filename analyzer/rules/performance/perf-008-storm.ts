// SPDX-License-Identifier: Apache-2.0
import { routeName } from '../../../session/interrupts.js';
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { Rule } from '../../check/rule.js';
import { PerKey, Rate } from './rate.js';

const SIGNALS_PER_SECOND = 10_000;
const WORK = 0.1;

export const PERF_008: Rule = {
  id: 'PERF-008',
  title: 'Interrupts come for work, and are moderated',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  needs: ['accesses'],
  why: 'Each interrupt wakes a thread. A device that can gather completions (interrupt coalescing, EITR) should, or the driver should poll while there is much to do.',
  sources: [
    'NVM Express 1.4 §7.5.1 (interrupt coalescing)',
    'Intel 82574 datasheet §7.4.4 (interrupt moderation)',
  ],
  decided: `More than 10,000 signals of one vector within a second (the sum of what reads of its eventfd returned), while the device’s doorbells in their busiest second are fewer
than a tenth of that. Only where doorbells are known.`,
  wrongWhen: 'A device that receives without being asked: a network card under load.',
  compliant: 'Set the device’s moderation, mask the vector while polling.',
  watch: (check) => {
    const vectors = new PerKey<string, { readonly rate: Rate; device: number; name: string }>(() => ({
      rate: new Rate(),
      device: 0,
      name: '',
    }));
    const doorbells = new PerKey<number, Rate>(() => new Rate());
    return {
      access: ({ device, direction, register }) => {
        if (direction !== 'store' || register === undefined || !isDoorbell(register.name)) return undefined;
        const rate = doorbells.of(device.id);
        return (row) => rate.add(row.time, row.event);
      },
      eventfd: ({ route }) => {
        if (route === undefined || route.role !== 'trigger') return undefined;
        check.judged();
        const vector = vectors.of(`${route.device} ${route.index} ${route.vector}`);
        vector.device = route.device;
        vector.name = routeName(route);
        return (row, action) => {
          if (action === 'read' && row.errno === 0) vector.rate.add(row.time, row.event, row.low);
        };
      },
      end: () => {
        for (const [, { rate, device, name }] of vectors) {
          const rung = doorbells.of(device);
          if (rate.peak <= SIGNALS_PER_SECOND || rung.total === 0 || rung.peak >= WORK * rate.peak) continue;
          const life = check.story.devices.get(device);
          check.report({
            key: name,
            ...(life !== undefined && { device: life }),
            message: `${name} was signalled ${rate.total} times, ${rate.peak} within one second, for ${rung.peak} doorbells in their busiest second`,
            evidence: [{ event: rate.event, note: 'the busiest second begins here' }],
          });
        }
      },
    };
  },
};
