// SPDX-License-Identifier: Apache-2.0
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import type { Rule } from '../../check/rule.js';
import { ACTION_MASK_IRQ, ACTION_UNMASK, DATA_EVENTFD, INTX, onSetIrqs } from './requests.js';

export const IRQ_006: Rule = {
  id: 'IRQ-006',
  title: 'Only INTx is masked and unmasked through VFIO',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `MASK and UNMASK of MSI and MSI-X are not there: ENOTTY. They need no acknowledgement either. A driver that unmasks after each interrupt does a system call for nothing, and one that masks believes to be left alone.`,
  sources: [
    'vfio_pci_intrs.c: vfio_pci_set_irqs_ioctl ("XXX Need masking support exported"), vfio_pci_set_intx_mask',
  ],
  decided:
    'SET_IRQS with ACTION_MASK or ACTION_UNMASK on another index than INTx, or ACTION_MASK with an eventfd on INTx.',
  wrongWhen: 'A later kernel may have it.',
  compliant: 'Mask in the device, or detach the vector (-1).',
  watch: (check) => ({
    ioctl: onSetIrqs(({ device, flags, index }, { event }) => {
      const masks = flags & (ACTION_MASK_IRQ | ACTION_UNMASK);
      if (masks === 0) return;
      check.judged();
      const eventfdMask = (masks & ACTION_MASK_IRQ) !== 0 && (flags & DATA_EVENTFD) !== 0;
      if (index === INTX && !eventfdMask) return;
      const action = (masks & ACTION_MASK_IRQ) !== 0 ? 'MASK' : 'UNMASK';
      const what = irqIndexName(index);
      check.report({
        key: `${action} ${what}`,
        device,
        message: `${action} of ${what}${index === INTX ? ' by an eventfd' : ''}: there is no such thing`,
        evidence: [{ event: event.number, note: event.errno === 0 ? 'the call' : 'refused' }],
      });
    }),
  }),
};
