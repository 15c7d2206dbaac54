// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { IRQ_SET, IRQ_SET_ACTION_UNMASK, IRQ_SET_DATA_EVENTFD } from '../../../abi/vfio/irqs.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { PerKey, Rate, timeText } from './rate.js';

const PER_SECOND = 1000;

export const PERF_007: Rule = {
  id: 'PERF-007',
  title: 'INTx is not unmasked by a system call for each interrupt',
  severity: 'note',
  profiles: { test: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: 'vfio-pci masks INTx at each interrupt. An eventfd that unmasks costs a write of eight bytes, given to KVM it costs nothing.',
  sources: ['vfio_pci_intrs.c: vfio_intx_handler, vfio_pci_set_intx_unmask'],
  decided: 'More than 1,000 VFIO_DEVICE_SET_IRQS with ACTION_UNMASK and without an eventfd within a second.',
  wrongWhen: 'Never: it is a count.',
  compliant: 'ACTION_UNMASK with DATA_EVENTFD once, then write to that eventfd; or MSI-X.',
  watch: (check) => {
    const devices = new PerKey<DeviceLife, { readonly rate: Rate; cost: number }>(() => ({
      rate: new Rate(),
      cost: 0,
    }));
    return {
      ioctl: {
        VFIO_DEVICE_SET_IRQS: ({ device, before, event }) => {
          const { flags = 0, index = 0 } = decode(IRQ_SET, before);
          if (device === undefined || index !== 0) return;
          check.judged();
          if ((flags & IRQ_SET_ACTION_UNMASK) === 0 || (flags & IRQ_SET_DATA_EVENTFD) !== 0) return;
          const held = devices.of(device);
          held.rate.add(event.time, event.number);
          held.cost += event.duration;
        },
      },
      end: () => {
        for (const [device, { rate, cost }] of devices) {
          if (rate.peak <= PER_SECOND) continue;
          check.report({
            key: 'unmask',
            device,
            message: `INTx was unmasked ${rate.total} times by ioctl, ${rate.peak} within one second: ${timeText(cost)}`,
            evidence: [{ event: rate.event, note: 'the busiest second begins here' }],
          });
        }
      },
    };
  },
};
