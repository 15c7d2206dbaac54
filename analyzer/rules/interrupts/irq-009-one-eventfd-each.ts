// SPDX-License-Identifier: Apache-2.0
import { routeName } from '../../../session/interrupts.js';
import type { Rule } from '../../check/rule.js';
import { onSetIrqs } from './requests.js';

export const IRQ_009: Rule = {
  id: 'IRQ-009',
  title: 'Each vector has an eventfd of its own, unless one for several is meant',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'An eventfd counts: when several vectors signal the same one, which of them it was is lost, and the driver has to look at all of them.',
  sources: ['eventfd(2)'],
  decided:
    'SET_IRQS gave a vector an eventfd that is the trigger of another vector, or of another device, at that moment.',
  wrongWhen: 'It is meant so: ixy has one for the queue and the rest.',
  compliant: 'eventfd() for each vector.',
  watch: (check) => {
    /** Eventfd to the vectors that signal it, as `device:index:vector`. */
    const users = new Map<number, Map<string, string>>();
    const vectors = new Map<string, number>();
    const release = (key: string): void => {
      const object = vectors.get(key);
      if (object === undefined) return;
      vectors.delete(key);
      users.get(object)?.delete(key);
    };
    return {
      on: {
        close: ({ gone }) => {
          for (const object of gone) {
            users.delete(object);
            if (!check.story.devices.has(object)) continue;
            for (const key of [...vectors.keys()]) if (key.startsWith(`${object}:`)) release(key);
          }
        },
      },
      ioctl: onSetIrqs(({ device, index, start, descriptors, disables, enables }, { ok, event }) => {
        if (!ok) return;
        if (disables) {
          for (const key of [...vectors.keys()]) if (key.startsWith(`${device.id}:${index}:`)) release(key);
          return;
        }
        if (!enables) return;
        check.judged();
        descriptors.forEach(({ object }, i) => {
          const vector = start + i;
          const key = `${device.id}:${index}:${vector}`;
          release(key);
          if (object === 0) return;
          const name = routeName({ device: device.id, index, vector, role: 'trigger' });
          const held = users.get(object) ?? new Map<string, string>();
          users.set(object, held);
          const [other] = held.values();
          held.set(key, name);
          vectors.set(key, object);
          if (other === undefined) return;
          check.report({
            key: name,
            device,
            message: `${name} signals the eventfd of ${other}`,
            evidence: [{ event: event.number, note: 'set' }],
          });
        });
      }),
    };
  },
};
