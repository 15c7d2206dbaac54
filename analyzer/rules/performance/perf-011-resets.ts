// SPDX-License-Identifier: Apache-2.0
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { timeText } from './rate.js';

const LONG_NS = 1e9;

interface Resets {
  readonly events: number[];
  cost: number;
}

export const PERF_011: Rule = {
  id: 'PERF-011',
  title: 'A device is reset once before it is used, and quickly',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'A function level reset takes 100 ms, one of the bus up to a second; vfio-pci has reset the device when it was opened.',
  sources: [
    'PCIe 5.0 §6.6.2 (function level reset: 100 ms)',
    'vfio_pci_core.c: vfio_pci_core_enable (reset at open)',
  ],
  decided:
    'A reset that took a second or longer; or a second reset between the opening of a device and its first doorbell.',
  wrongWhen: 'The first reset left the device in a state that the driver saw and could not use.',
  compliant: 'One reset at most, and none where the kernel’s at open will do.',
  watch: (check) => {
    const before = new Map<DeviceLife, Resets>();
    const running = new Set<DeviceLife>();
    const reset = ({ device, ok, event, name }: IoctlStep): void => {
      if (device === undefined) return;
      check.judged();
      if (event.duration >= LONG_NS)
        check.report({
          key: `${name} took long`,
          device,
          message: `${name} took ${timeText(event.duration)}`,
          evidence: [{ event: event.number, note: 'the reset' }],
        });
      if (!ok || running.has(device)) return;
      const held = before.get(device) ?? { events: [], cost: 0 };
      before.set(device, held);
      held.events.push(event.number);
      held.cost += event.duration;
      if (held.events.length !== 2) return;
      const [first = event.number, second = event.number] = held.events;
      check.report({
        key: 'reset again',
        device,
        message: `the device was reset twice before its first doorbell: ${timeText(held.cost)} so far`,
        evidence: [
          { event: second, note: 'the second reset' },
          { event: first, note: 'the first one' },
        ],
      });
    };
    return {
      ioctl: { VFIO_DEVICE_RESET: reset, VFIO_DEVICE_PCI_HOT_RESET: reset, VFIO_RESET_FUNCTION: reset },
      access: ({ device, direction, register }) => {
        if (direction !== 'store' || register === undefined || !isDoorbell(register.name)) return undefined;
        if (running.has(device)) return undefined;
        return () => running.add(device);
      },
    };
  },
};
