// SPDX-License-Identifier: Apache-2.0
import { INFO_RESET } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const RST_002: Rule = {
  id: 'RST-002',
  title: 'A device that can not be reset at close is made quiet by its driver',
  severity: 'warning',
  profiles: { vmm: 'note', lyon2010: 'error' },
  kernel: 'allows',
  basis: 'inferred',
  why: `At the last close the kernel resets the function, or its whole slot or bus when all of it is free. Where neither is possible it clears bus mastering and
leaves the rest as it is: queues, addresses, and the data of this user in the device's memory.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_disable, vfio_pci_dev_set_try_reset',
    'Lyon, June 2010: "we should make sure (at open time) we *can* reset on close, fail binding if we can\'t"',
  ],
  decided: `GET_INFO lacked the RESET flag, GET_PCI_HOT_RESET_INFO was not answered, and when the device was closed bus mastering was on and the controller was not
known to be disabled. The kernel of 2010 resets nothing at close: there it is always so.`,
  wrongWhen: 'The driver stopped the device by a register that is not known here.',
  compliant:
    'Look at the RESET flag at open; without it stop the controller and clear bus mastering before closing.',
  watch: (check) => {
    const hotResettable = new Set<number>();
    return {
      ioctl: {
        VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: ({ ok, object }) => {
          if (ok) hotResettable.add(object);
        },
      },
      on: {
        close: ({ gone, event }) => {
          for (const object of gone) {
            const device = check.story.devices.get(object);
            if (device === undefined) continue;
            if (device.info === undefined && !device.isLyon) {
              check.unknown('whether the device can be reset was not asked (GET_INFO)');
              continue;
            }
            check.judged();
            if (((device.info?.flags ?? 0) & INFO_RESET) !== 0 || hotResettable.has(object)) continue;
            if (!device.busMaster || device.controllerEnabled === false) continue;
            check.report({
              key: 'close',
              device,
              message: 'the device was closed while it was running, and the kernel can not reset it',
              evidence: [
                { event: event.number, note: 'closed' },
                ...(device.info === undefined
                  ? []
                  : [{ event: device.info.event, note: 'GET_INFO lacks the RESET flag' }]),
                ...(device.masterSince === undefined
                  ? []
                  : [{ event: device.masterSince.event, note: 'bus mastering on, and never off' }]),
              ],
            });
          }
        },
      },
    };
  },
};
