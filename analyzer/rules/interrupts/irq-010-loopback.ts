// SPDX-License-Identifier: Apache-2.0
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import type { Rule } from '../../check/rule.js';
import { ACTION_TRIGGER, DATA_BOOL, DATA_NONE, onSetIrqs } from './requests.js';

export const IRQ_010: Rule = {
  id: 'IRQ-010',
  title: 'Interrupts come from the device, not from the driver (loopback is for tests)',
  severity: 'note',
  profiles: { test: 'off', vmm: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `TRIGGER without eventfds signals those that are set, as if the device had. That tests the way from the kernel to the driver, and hides a device that signals nothing.`,
  sources: [
    'linux/vfio.h: "kernel level interrupt loopback testing"',
    'vfio_pci_intrs.c: vfio_pci_set_msi_trigger',
  ],
  decided: 'SET_IRQS with ACTION_TRIGGER, DATA_NONE or DATA_BOOL, and a count above 0, succeeded.',
  wrongWhen: 'It is a test. QEMU kicks its guest so after a migration (profile vmm: off).',
  compliant: 'Let the device signal.',
  watch: (check) => ({
    ioctl: onSetIrqs(({ device, flags, index, count }, { ok, event }) => {
      check.judged();
      if (!ok || count === 0 || (flags & ACTION_TRIGGER) === 0) return;
      if ((flags & (DATA_NONE | DATA_BOOL)) === 0) return;
      check.report({
        key: irqIndexName(index),
        device,
        message: `${irqIndexName(index)} was triggered by the driver itself`,
        evidence: [{ event: event.number, note: 'the call' }],
      });
    }),
  }),
};
