// SPDX-License-Identifier: Apache-2.0
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import type { IrqInfo } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { DATA_EVENTFD, INTX, MSIX, onSetIrqs } from './requests.js';

const INFO_EVENTFD = 1;

export const IRQ_001: Rule = {
  id: 'IRQ-001',
  title: 'Interrupts are asked for (GET_IRQ_INFO) before they are set, and only so many as there are',
  severity: 'warning',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `How many vectors an index has differs from device to device, and from kernel to kernel: a host without interrupt remapping gives one MSI vector. Who asks for more gets EINVAL and no interrupts at all.`,
  sources: [
    'vfio_main.c: vfio_set_irqs_validate_and_prepare (EINVAL)',
    'Documentation/driver-api/vfio.rst (the loop over num_irqs)',
  ],
  decided: `SET_IRQS beyond the count that GET_IRQ_INFO gave, or with eventfds on an index that has none: an error. SET_IRQS of an index that was never asked for on this device: a warning; for ERR and REQ a note, since
they have one vector or none. Switching off needs no question.`,
  wrongWhen: `The device was asked when it was open before: that counts. INTx has rules of its own (INTX-005, INTX-006).`,
  compliant: 'VFIO_DEVICE_GET_IRQ_INFO for each index that is used; start + count at most its count.',
  watch: (check) => {
    /** By the device's address and index: a second open asks for nothing new. */
    const asked = new Map<string, IrqInfo>();
    const name = (bdf: string, index: number): string => `${bdf}/${index}`;
    return {
      ioctl: {
        VFIO_DEVICE_GET_IRQ_INFO: ({ device, ok }) => {
          if (device === undefined || !ok) return;
          const { bdf = '' } = device.definition ?? {};
          for (const [index, info] of device.irqInfo) asked.set(name(bdf, index), info);
        },
        ...onSetIrqs(({ device, index, start, count, flags, disables }, { event }) => {
          if (disables || index === INTX) return;
          check.judged();
          const info = device.irqInfo.get(index) ?? asked.get(name(device.definition?.bdf ?? '', index));
          const what = irqIndexName(index);
          if (info === undefined) {
            check.report({
              key: `${what} not asked`,
              device,
              severity: index > MSIX ? 'note' : 'warning',
              message: `${what} was set, and VFIO_DEVICE_GET_IRQ_INFO was not asked for it`,
              evidence: [{ event: event.number, note: 'set' }],
            });
            return;
          }
          const told = {
            event: info.event,
            note: `there ${info.count === 1 ? 'is 1' : `are ${info.count}`}`,
          };
          if (start + count > info.count) {
            check.report({
              key: `${what} beyond`,
              device,
              severity: 'error',
              message: `${what} vectors ${start} to ${start + count - 1} were set, and there ${info.count === 1 ? 'is 1' : `are ${info.count}`}`,
              evidence: [{ event: event.number, note: 'set' }, told],
            });
          } else if ((flags & DATA_EVENTFD) !== 0 && (info.flags & INFO_EVENTFD) === 0) {
            check.report({
              key: `${what} eventfd`,
              device,
              severity: 'error',
              message: `${what} was given eventfds, and does not take any`,
              evidence: [{ event: event.number, note: 'set' }, told],
            });
          }
        }),
      },
    };
  },
};
