// SPDX-License-Identifier: Apache-2.0
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const RST_003: Rule = {
  id: 'RST-003',
  title: 'After a reset the device is set up anew before its doorbells are rung',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `A reset restores configuration space, and nothing else: queues have no address any more, and vectors are programmed only by the next SET_IRQS. Who goes on
with the queues of before talks to a device that has forgotten them.`,
  sources: [
    'drivers/pci/pci.c: pci_try_reset_function (saves and restores configuration space)',
    'NVM Express 1.4 §7.3.2',
  ],
  decided: `A doorbell that was rung after a reset in the middle of the session (a reset ioctl, FLR, D3hot to D0) before any other register was stored to. Only
devices whose doorbells are known.`,
  wrongWhen:
    'A device that keeps its queues through the reset. Bus mastering set before the reset is fine: it is saved.',
  compliant: 'Run the whole initialization again.',
  watch: (check) => {
    /** Event of the first store that is no doorbell since the latest reset. */
    const setUp = new Map<DeviceLife, number>();
    const lastReset = (device: DeviceLife) =>
      device.resets.filter(({ how }) => how !== 'at open' && how !== 'controller').at(-1);
    return {
      access: ({ device, direction, register }) => {
        if (direction === 'load' || register === undefined) return undefined;
        const reset = lastReset(device);
        if (reset === undefined) return undefined;
        check.judged();
        if ((setUp.get(device) ?? -1) > reset.event) return undefined;
        if (!isDoorbell(register.name)) {
          return (row) => {
            setUp.set(device, row.event);
          };
        }
        return (row) => {
          if ((setUp.get(device) ?? -1) > reset.event) return;
          check.report({
            key: register.name.replace(/\d+/g, 'n'),
            device,
            message: `${register.name} was rung after a reset (${reset.how}), and nothing had been set up again`,
            evidence: [
              { event: row.event, note: 'the doorbell' },
              { event: reset.event, note: reset.how },
            ],
          });
        };
      },
    };
  },
};
