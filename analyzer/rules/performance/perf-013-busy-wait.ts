// SPDX-License-Identifier: Apache-2.0
import { routeName } from '../../../session/interrupts.js';
import type { Rule } from '../../check/rule.js';
import { timeText } from './rate.js';

const IN_A_ROW = 100;

export const PERF_013: Rule = {
  id: 'PERF-013',
  title: 'An interrupt’s eventfd is read before the driver waits again',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'An eventfd stays readable until it is read: poll, and epoll without EPOLLET, return at once, and a thread that should sleep spins.',
  sources: ['eventfd(2)', 'epoll(7): level-triggered and edge-triggered'],
  decided:
    'More than 100 wake-ups in a row for one interrupt without a read of its eventfd. IRQ-007 judges what that may lose.',
  wrongWhen: 'EPOLLET, where each wake-up is a new interrupt, and nobody cares how many.',
  compliant: 'Read its eight bytes first.',
  watch: (check) => ({
    eventfd: ({ route }) => {
      if (route === undefined || route.role !== 'trigger') return undefined;
      check.judged();
      let inARow = 0;
      let first = -1;
      let since = 0;
      return (row, action) => {
        if (action === 'read') {
          inARow = 0;
          return;
        }
        if (action !== 'wake') return;
        if (inARow === 0) {
          first = row.event;
          since = row.time;
        }
        inARow++;
        if (inARow !== IN_A_ROW + 1) return;
        const name = routeName(route);
        const device = check.story.devices.get(route.device);
        check.report({
          key: name,
          ...(device !== undefined && { device }),
          message: `the driver was woken more than ${IN_A_ROW} times in a row for ${name} and never read its eventfd: ${timeText(row.time - since)}`,
          evidence: [{ event: first, note: 'the first of these wake-ups' }],
        });
      };
    },
  }),
};
