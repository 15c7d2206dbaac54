// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife, IrqInfo } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { INTX, MSI, MSIX, onSetIrqs } from './requests.js';

export const INTX_006: Rule = {
  id: 'INTX-006',
  title: 'A device without INTx is not asked for it, or the driver has another way',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `Virtual functions have no pin, and some devices have one that does not work (vfio_pci_nointx): GET_IRQ_INFO says 0. A driver that sets it up all the same waits for interrupts that can't come.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_get_irq_count (pin 0, nointx, virtual functions)',
    'SR-IOV 1.1 §3.4.1.18',
  ],
  decided:
    'SET_IRQS gave INTx an eventfd although GET_IRQ_INFO had said that there is none, and neither MSI nor MSI-X was enabled later.',
  wrongWhen: 'Trying and falling back is fine: silent. A driver that never asked is IRQ-001’s.',
  compliant: 'Look at the count; use MSI or MSI-X.',
  watch: (check) => {
    const tried = new Map<DeviceLife, { readonly event: number; readonly info: IrqInfo }>();
    return {
      ioctl: onSetIrqs(({ device, index, enables }, { ok, event }) => {
        if (!enables) return;
        if (index !== INTX) {
          // ERR and REQ bring none of the device's own interrupts.
          if (ok && (index === MSI || index === MSIX)) tried.delete(device);
          return;
        }
        const info = device.irqInfo.get(INTX);
        if (info === undefined) return;
        check.judged();
        if (info.count === 0 && !tried.has(device)) tried.set(device, { event: event.number, info });
      }),
      end: () => {
        for (const [device, { event, info }] of tried)
          check.report({
            key: 'no INTx',
            device,
            message: 'INTx was set up on a device that has none, and nothing else was',
            evidence: [
              { event, note: 'set' },
              { event: info.event, note: 'GET_IRQ_INFO: count 0' },
            ],
          });
      },
    };
  },
};
