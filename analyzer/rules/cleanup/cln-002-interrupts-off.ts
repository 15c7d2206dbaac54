// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const INDEXES = { intx: 0, msi: 1, msix: 2 } as const;
const VECTORS_MOST = 2048;

export const CLN_002: Rule = {
  id: 'CLN-002',
  title: 'Interrupts are switched off before the device is closed',
  severity: 'note',
  kernel: 'allows',
  basis: 'proven',
  why: `The kernel tears down what is enabled when the device is closed. Until then the device may signal eventfds that nobody listens to any
more, or that mean something else by now.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_disable',
    'linux/vfio.h: VFIO_DEVICE_SET_IRQS, DATA_NONE with count 0',
  ],
  decided:
    'The last descriptor of the device was closed while an eventfd was still the trigger of an enabled vector.',
  wrongWhen: 'Detaching each vector with -1 is as good. A process that just ends is not judged.',
  compliant: 'SET_IRQS with DATA_NONE, ACTION_TRIGGER and count 0, then close.',
  watch: (check) => {
    const attached = (device: DeviceLife, index: number): number => {
      const count = Math.min(device.irqInfo.get(index)?.count ?? VECTORS_MOST, VECTORS_MOST);
      let found = 0;
      for (let vector = 0; vector < count; vector++)
        if (check.story.session.interrupts.eventfd(device.id, index, vector) !== undefined) found++;
      return found;
    };
    return {
      on: {
        close: ({ gone, event }) => {
          for (const object of gone) {
            const device = check.story.devices.get(object);
            if (device === undefined || device.interruptsSince === undefined) continue;
            check.judged();
            if (device.interrupts === 'none') continue;
            const vectors = attached(device, INDEXES[device.interrupts]);
            if (vectors === 0) continue;
            check.report({
              key: device.interrupts,
              device,
              message: `${vectors} ${device.interrupts.toUpperCase()} vector${vectors === 1 ? ' was' : 's were'} enabled when the device was closed`,
              evidence: [
                { event: event.number, note: 'closed' },
                { event: device.interruptsSince.event, note: 'enabled here' },
              ],
            });
          }
        },
      },
      ioctl: { VFIO_DEVICE_SET_IRQS: () => check.judged() },
    };
  },
};
