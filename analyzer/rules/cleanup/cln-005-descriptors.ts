// SPDX-License-Identifier: Apache-2.0
import { DMABUF, EVENTFD, MIGRATION } from '../../../abi/object-kinds.js';
import type { Rule } from '../../check/rule.js';

/** So many times in a row there must be more of them than the time before. */
const CYCLES = 3;

export const CLN_005: Rule = {
  id: 'CLN-005',
  title: 'Eventfds, migration and dma-buf descriptors are closed with the device that they were for',
  severity: 'warning',
  kernel: 'allows',
  basis: 'guessed',
  why: `A driver that opens its device again and again and closes it each time, but not its eventfds, runs out of descriptors after some hundred
rounds, long after the cause. Migration and dma-buf descriptors are the user's to close: the header says so.`,
  sources: [
    'linux/vfio.h: VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE ("responsible to close")',
    'openvmm issue 79',
  ],
  decided:
    'Each time that a device was closed, three times in a row, more eventfds (migration, dma-buf descriptors) were open than the time before.',
  wrongWhen: 'The program opens more devices each time, for which it keeps them.',
  compliant: 'Close what was opened for the device when the device is closed.',
  watch: (check) => {
    const kinds = new Map<number, string>([
      [EVENTFD, 'eventfd'],
      [MIGRATION, 'migration descriptor'],
      [DMABUF, 'dma-buf'],
    ]);
    const open = new Map<string, number>();
    const before = new Map<string, { readonly count: number; readonly grown: number }>();
    const add = (object: number, change: number): void => {
      const word = kinds.get(check.story.session.names.kind(object));
      if (word !== undefined) open.set(word, (open.get(word) ?? 0) + change);
    };
    return {
      on: {
        eventfd: ({ object, ok }) => {
          if (ok) add(object, 1);
        },
        close: ({ gone, event }) => {
          for (const object of gone) add(object, -1);
          const device = gone
            .map((object) => check.story.devices.get(object))
            .find((life) => life !== undefined);
          if (device === undefined) return;
          check.judged();
          for (const word of kinds.values()) {
            const count = open.get(word) ?? 0;
            const last = before.get(word);
            const grown = last !== undefined && count > last.count ? last.grown + 1 : 0;
            before.set(word, { count, grown });
            if (grown < CYCLES - 1) continue;
            check.report({
              key: word,
              device,
              message: `${count} ${word}s were open after the device was closed, more each time`,
              evidence: [{ event: event.number, note: `closed, ${count} ${word}s left` }],
            });
          }
        },
      },
    };
  },
};
