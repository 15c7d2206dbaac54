// SPDX-License-Identifier: Apache-2.0
import { routeName } from '../../../session/interrupts.js';
import type { Rule } from '../../check/rule.js';

const UNREAD = 1000;
/** A wait that returns at once: it did not wait. */
const AT_ONCE_NS = 20_000;

export const IRQ_007: Rule = {
  id: 'IRQ-007',
  title: 'An eventfd that was signalled is read',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'guessed',
  why: `An eventfd stays readable until its counter is read. poll and level-triggered epoll return at once each time: the driver takes one interrupt for thousands, and a processor for nothing.`,
  sources: ['eventfd(2)', 'epoll(7): level-triggered and edge-triggered'],
  decided: `1000 wake-ups in a row of an interrupt's eventfd without a read of it, nine of ten of them from waits that returned within 20 µs.`,
  wrongWhen: `Edge-triggered epoll (EPOLLET) needs no read: its waits last until the next interrupt, which keeps them out here, unless interrupts come faster than 50,000 in a second. Eventfds that KVM listens to are not
seen at all.`,
  compliant: 'read(eventfd, &count, 8) after the wait, and count interrupts by it.',
  watch: (check) => ({
    eventfd: ({ route, inKernel }) => {
      if (route === undefined || inKernel || route.role !== 'trigger') return undefined;
      check.judged();
      let unread = 0;
      let atOnce = 0;
      let first = -1;
      return (row, action) => {
        if (action !== 'wake') {
          unread = 0;
          return;
        }
        if (unread++ === 0) {
          first = row.event;
          atOnce = 0;
          return;
        }
        // The usual case is a read after each: nothing is looked at before there are several.
        if (unread < 3) return;
        if (check.story.trace.ticksToNs(row.ticks) - row.time < AT_ONCE_NS) atOnce++;
        if (unread !== UNREAD || atOnce < UNREAD * 0.9) return;
        const device = check.story.devices.get(route.device);
        check.report({
          key: routeName(route),
          ...(device !== undefined && { device }),
          message: `${UNREAD} waits returned with ${routeName(route)}, and its eventfd was not read`,
          evidence: [
            { event: row.event, note: 'it is readable still' },
            { event: first, note: 'since here' },
          ],
        });
      };
    },
  }),
};
