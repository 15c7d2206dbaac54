// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { Rule } from '../../check/rule.js';

export const BAR_010: Rule = {
  id: 'BAR-010',
  title: 'A store that stops the device is read back before the device is given up',
  severity: 'note',
  profiles: { vmm: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  needs: ['accesses'],
  why: `Stores are posted: they may still be on their way when the next system call returns. Whoever masks interrupts or stops a queue and closes
at once does not know that the device has seen it; a load from the device pushes the stores before it.`,
  sources: ['PCIe 5.0 §2.4.1 (a read may not pass a posted write)'],
  decided:
    'The last access to the memory of the device before its descriptor was closed was a store, not to a doorbell.',
  wrongWhen: 'The store has nothing to do with stopping. Closing resets most devices anyway.',
  compliant: 'Load a register of the device after the store that stops it.',
  watch: (check) => ({
    on: {
      close: ({ gone, event }) => {
        for (const object of gone) {
          const device = check.story.devices.get(object);
          const last = device?.lastAccess;
          if (device === undefined || last === undefined) continue;
          check.judged();
          if (last.direction === 'load') continue;
          const register = device.state.lookup(last.region)(last.offset);
          if (register !== undefined && isDoorbell(register.name)) continue;
          const place = register?.name ?? `${regionName(last.region)}+${hex(last.offset)}`;
          check.report({
            key: place,
            device,
            message: `the last access before closing was a store to ${place}, and was not read back`,
            evidence: [
              { event: event.number, note: 'closed' },
              { event: device.accessEvent, note: 'the last access' },
            ],
          });
        }
      },
    },
  }),
};
