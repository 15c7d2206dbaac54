// SPDX-License-Identifier: Apache-2.0
import { isDoorbell } from '../../../session/story/controllers/controller.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const CLN_007: Rule = {
  id: 'CLN-007',
  title: 'A device that is opened again is set up again',
  severity: 'note',
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `Closing resets the device, its configuration, its interrupts and bus mastering: nothing of the first session is there in the
second one.`,
  sources: ['vfio_pci_core.c: vfio_pci_core_disable, vfio_pci_core_enable'],
  decided:
    'A device was opened again after its last close, and the first access to its memory was a doorbell.',
  wrongWhen: 'Another process kept the device open all the time.',
  compliant: 'Run the whole initialization at each open.',
  watch: (check) => {
    const wasOpen = (device: DeviceLife): DeviceLife | undefined =>
      [...check.story.devices.values()].find(
        (other) =>
          other !== device &&
          other.definition?.bdf === device.definition?.bdf &&
          other.closed !== undefined &&
          other.closed.event < device.opened.event,
      );
    return {
      access: ({ device, direction, register }) => {
        if (device.accessEvent >= 0) return undefined;
        const before = wasOpen(device);
        if (before === undefined) return undefined;
        check.judged();
        if (direction !== 'store' || register === undefined || !isDoorbell(register.name)) return undefined;
        return (row) => {
          if (device.accessEvent >= 0) return;
          check.report({
            key: register.name.replace(/\d+/g, 'n'),
            device,
            message: `after it was opened again, ${register.name} was rung before anything was set up`,
            evidence: [
              { event: row.event, note: 'the first access' },
              { event: before.closed?.event ?? 0, note: 'closed before' },
            ],
          });
        };
      },
    };
  },
};
