// SPDX-License-Identifier: Apache-2.0
import { readU32 } from '../../../abi/layout.js';
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { timeText } from './rate.js';

const TIMES = 8;
const CAPABILITIES = 0x34;

interface Asked {
  readonly device: DeviceLife;
  readonly what: string;
  readonly first: number;
  count: number;
  cost: number;
}

export const PERF_009: Rule = {
  id: 'PERF-009',
  title: 'What does not change is asked for once',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'Regions, interrupts and the capability list stay the same while a device is open: each question more is a system call, for configuration space one to the device.',
  sources: [
    'linux/vfio.h: VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO',
    'PCI Local Bus 3.0 §6.7 (capabilities list)',
  ],
  decided: `The same VFIO_DEVICE_GET_INFO, GET_REGION_INFO or GET_IRQ_INFO of one open device more than 8 times, or more than 8 reads of the capabilities pointer.`,
  wrongWhen: 'Two calls for one answer, the first to learn its length, are two: that is why it is 8.',
  compliant: 'Keep the answers.',
  watch: (check) => {
    const asked = new Map<string, Asked>();
    const count = (
      device: DeviceLife,
      what: string,
      event: { readonly number: number; readonly duration: number },
    ): void => {
      check.judged();
      const key = `${device.id} ${what}`;
      const held = asked.get(key) ?? { device, what, first: event.number, count: 0, cost: 0 };
      asked.set(key, held);
      held.count++;
      held.cost += event.duration;
    };
    const index = ({ before }: IoctlStep): number => (before.length >= 12 ? readU32(before, 8) : -1);
    return {
      ioctl: {
        VFIO_DEVICE_GET_INFO: ({ device, name, event }) => {
          if (device !== undefined) count(device, name, event);
        },
        VFIO_DEVICE_GET_REGION_INFO: (step) => {
          if (step.device !== undefined)
            count(step.device, `${step.name} of ${regionName(index(step))}`, step.event);
        },
        VFIO_DEVICE_GET_IRQ_INFO: (step) => {
          if (step.device !== undefined)
            count(step.device, `${step.name} of ${irqIndexName(index(step))}`, step.event);
        },
      },
      on: {
        'config-read': ({ device, offset, length, event }) => {
          if (offset <= CAPABILITIES && offset + length > CAPABILITIES)
            count(device, 'reading the capabilities pointer', event);
        },
      },
      end: () => {
        for (const { device, what, first, count: times, cost } of asked.values()) {
          if (times <= TIMES) continue;
          check.report({
            key: what,
            device,
            message: `${what}: ${times} times, ${timeText(cost)}`,
            evidence: [{ event: first, note: 'the first time' }],
          });
        }
      },
    };
  },
};
