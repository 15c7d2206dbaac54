// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import {
  IRQ_SET,
  IRQ_SET_ACTION_TRIGGER,
  IRQ_SET_DATA_EVENTFD,
  irqIndexName,
} from '../../../abi/vfio/irqs.js';
import type { Rule } from '../../check/rule.js';

const CAP_MSIX = 0x11;
const MSI = 1;
const MSIX = 2;

export const PERF_006: Rule = {
  id: 'PERF-006',
  title: 'A device that has several MSI-X vectors is driven with MSI-X',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'With one interrupt for all queues every handler has to look at all of them; INTx must be unmasked after each interrupt, and may be shared.',
  sources: ['PCI Local Bus 3.0 §6.8.2 (MSI-X)', 'linux/vfio.h: VFIO_DEVICE_SET_IRQS'],
  decided:
    'INTx, or MSI with one vector, is switched on while the device said that it has more than one MSI-X vector. A device without that capability has none.',
  wrongWhen: 'A device with one queue; a driver under debugging.',
  compliant: 'VFIO_DEVICE_SET_IRQS of VFIO_PCI_MSIX_IRQ_INDEX, a vector for each queue.',
  watch: (check) => ({
    ioctl: {
      VFIO_DEVICE_SET_IRQS: ({ device, ok, before, event }) => {
        const { flags = 0, index = 0, count = 0 } = decode(IRQ_SET, before);
        const enables =
          (flags & IRQ_SET_ACTION_TRIGGER) !== 0 && (flags & IRQ_SET_DATA_EVENTFD) !== 0 && count > 0;
        if (device === undefined || !ok || !enables || index > MSIX) return;
        const available = device.irqInfo.get(MSIX);
        if (available === undefined) {
          const whole = (device.definition?.config.length ?? 0) >= 256;
          if (whole && device.state.config.capability(CAP_MSIX) === undefined) check.judged();
          else if (index !== MSIX) check.unknown('the driver never asked how many MSI-X vectors there are');
          return;
        }
        check.judged();
        if (index === MSIX || (index === MSI && count > 1) || available.count <= 1) return;
        const name = irqIndexName(index);
        check.report({
          key: name,
          device,
          message: `${name} was switched on, while there are ${available.count} MSI-X vectors`,
          evidence: [
            { event: event.number, note: 'switched on here' },
            { event: available.event, note: 'the device said how many there are' },
          ],
        });
      },
    },
  }),
};
