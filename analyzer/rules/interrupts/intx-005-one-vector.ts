// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';
import { INTX, onSetIrqs } from './requests.js';

export const INTX_005: Rule = {
  id: 'INTX-005',
  title: 'INTx is one vector: start 0, count 1',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: 'A function has one INTx pin. Anything else than its vector 0 is EINVAL, and nothing is set.',
  sources: ['vfio_pci_intrs.c: vfio_pci_set_intx_trigger, vfio_pci_set_intx_mask, vfio_pci_set_intx_unmask'],
  decided: 'SET_IRQS of INTx with a start other than 0 or a count above 1; or count 0 with MASK or UNMASK.',
  wrongWhen: 'Never. Count 0 with TRIGGER switches INTx off.',
  compliant: 'start = 0, count = 1.',
  watch: (check) => ({
    ioctl: onSetIrqs(({ device, index, start, count, disables }, { event }) => {
      if (index !== INTX) return;
      check.judged();
      if (start === 0 && (count === 1 || disables)) return;
      check.report({
        key: `start ${start} count ${count}`,
        device,
        message: `SET_IRQS of INTx with start ${start} and count ${count}`,
        evidence: [{ event: event.number, note: event.errno === 0 ? 'the call' : 'refused' }],
      });
    }),
  }),
};
