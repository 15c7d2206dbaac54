// SPDX-License-Identifier: Apache-2.0
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const BAR_012: Rule = {
  id: 'BAR-012',
  title: 'Queues have an address before their doorbell is rung',
  severity: 'warning',
  profiles: { vmm: 'off' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `A doorbell tells the device to fetch descriptors from the address that it holds: after a reset that is none, or the one of whoever had
the device before.`,
  sources: [
    'NVM Express 1.4 §7.6.1 (controller initialization)',
    'Intel 82574 datasheet §4.6 (initialization sequence)',
  ],
  decided: `A store of something other than 0 to a doorbell (SQnTDBL, TDTn, RDTn, notify) before any queue address was written since the device was
opened or reset. Only for devices whose registers are known.`,
  wrongWhen: 'A device that keeps its queues over the reset. Zeroing a tail while setting it up is fine.',
  compliant: 'Write base and length, enable, then ring.',
  watch: (check) => {
    /** Number of the event in which the device was last told an address. */
    const addressed = new Map<DeviceLife, number>();
    const isReady = (device: DeviceLife): boolean =>
      (addressed.get(device) ?? -1) > (device.resets.at(-1)?.event ?? -1);
    return {
      on: {
        controller: ({ device, what, event }) => {
          if (what === 'address') addressed.set(device, event.number);
        },
      },
      access: ({ device, direction, register }) => {
        if (direction === 'load' || register === undefined || !isDoorbell(register.name)) return undefined;
        if (!device.fromStart) return undefined;
        check.judged();
        if (isReady(device)) return undefined;
        return (row) => {
          if ((row.low === 0 && row.high === 0) || isReady(device)) return;
          const reset = device.resets.at(-1);
          check.report({
            key: register.name.replace(/\d+/g, 'n'),
            device,
            message: `${register.name} was rung before the device was told where a queue is`,
            evidence: [
              { event: row.event, note: 'the doorbell' },
              ...(reset === undefined ? [] : [{ event: reset.event, note: `reset: ${reset.how}` }]),
            ],
          });
        };
      },
    };
  },
};
