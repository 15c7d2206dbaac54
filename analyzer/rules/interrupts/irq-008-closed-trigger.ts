// SPDX-License-Identifier: Apache-2.0
import { type InterruptRoute, routeName } from '../../../session/interrupts.js';
import type { Rule } from '../../check/rule.js';
import { onSetIrqs } from './requests.js';

/** A driver that cleans up closes its eventfds first, and has some things left to do. */
const EVENTS_LEFT = 256;

interface Closed {
  readonly route: InterruptRoute;
  readonly event: number;
}

export const IRQ_008: Rule = {
  id: 'IRQ-008',
  title: 'An eventfd is not closed while it is the trigger of a vector that is in use',
  severity: 'error',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  why: `The kernel keeps the eventfd and signals it further, where nobody listens: interrupts vanish. The number is given to the next descriptor that is opened, and a poll on it waits for something else.`,
  sources: ['vfio_pci_intrs.c: the eventfd_ctx is held until the vector is set anew', 'close(2)'],
  decided: `The last descriptor of an eventfd was closed while it was the trigger of a vector, and the device's memory was accessed for more than 256 further events before the vector was set anew or switched off,
or the device closed.`,
  wrongWhen: `Closing it just before the interrupts are switched off or the device is closed, as the kernel's selftests, DPDK and QEMU do, is untidy at most: silent. A copy of the descriptor keeps it alive.`,
  compliant: 'SET_IRQS with count 0 (or -1 for the vector), then close the eventfd.',
  watch: (check) => {
    const closed = new Map<number, Closed[]>();
    const settle = (object: number, wanted: (route: InterruptRoute) => boolean): void => {
      const held = closed.get(object);
      if (held === undefined) return;
      const device = check.story.devices.get(object);
      const left: Closed[] = [];
      for (const one of held) {
        if (!wanted(one.route)) {
          left.push(one);
          continue;
        }
        if (device === undefined || device.accessEvent - one.event <= EVENTS_LEFT) continue;
        check.report({
          key: routeName(one.route),
          device,
          message: `the eventfd of ${routeName(one.route)} was closed, and the device was used further with that vector enabled`,
          evidence: [
            { event: one.event, note: 'closed' },
            { event: device.accessEvent, note: 'the device is used still' },
          ],
        });
      }
      if (left.length > 0) closed.set(object, left);
      else closed.delete(object);
    };
    return {
      on: {
        close: ({ gone, event }) => {
          for (const object of gone) {
            const route = check.story.session.interrupts.of(object);
            if (route !== undefined && route.role === 'trigger') {
              check.judged();
              const held = closed.get(route.device) ?? [];
              held.push({ route, event: event.number });
              closed.set(route.device, held);
            }
            settle(object, () => true);
          }
        },
      },
      ioctl: onSetIrqs(({ device, index, start, count, disables, enables }, { ok }) => {
        check.judged();
        if (!ok || !(disables || enables)) return;
        settle(
          device.id,
          (route) =>
            route.index === index && (disables || (route.vector >= start && route.vector < start + count)),
        );
      }),
      end: () => {
        for (const object of [...closed.keys()]) settle(object, () => true);
      },
    };
  },
};
