// SPDX-License-Identifier: Apache-2.0
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { MSIX, onSetIrqs } from './requests.js';

const EINVAL = 22;
const INDEXES = { intx: 0, msi: 1, msix: 2, none: -1 } as const;

interface Refused {
  readonly index: number;
  readonly event: number;
  readonly since: number | undefined;
  readonly message: string;
}

export const IRQ_002: Rule = {
  id: 'IRQ-002',
  title: 'One of INTx, MSI and MSI-X is enabled at a time',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `vfio-pci enables one kind for a device, and refuses the next until the first is switched off. A driver that does not look waits for interrupts on an eventfd that nothing is connected to.`,
  sources: ['vfio_pci_intrs.c: vfio_intx_enable, vfio_msi_enable (!is_irq_none: EINVAL)', 'PCIe 5.0 §6.1.4'],
  decided: `SET_IRQS that would enable one of the three was refused with EINVAL while another was enabled. A note when it worked later.`,
  wrongWhen: 'ERR and REQ are independent of the three.',
  compliant: 'SET_IRQS with DATA_NONE, ACTION_TRIGGER, count 0 for the old index, then the new one.',
  watch: (check) => {
    const refused = new Map<DeviceLife, Refused>();
    const tell = (device: DeviceLife, later: boolean): void => {
      const held = refused.get(device);
      if (held === undefined) return;
      refused.delete(device);
      check.report({
        key: irqIndexName(held.index),
        device,
        ...(later && { severity: 'note' as const }),
        message: `${held.message}${later ? '; it worked later' : ''}`,
        evidence: [
          { event: held.event, note: 'refused' },
          ...(held.since === undefined ? [] : [{ event: held.since, note: 'enabled since here' }]),
        ],
      });
    };
    return {
      ioctl: onSetIrqs(({ device, index, enables }, { ok, event }) => {
        if (!enables || index > MSIX) return;
        check.judged();
        if (ok) {
          if (refused.get(device)?.index === index) tell(device, true);
          return;
        }
        const { interrupts, interruptsSince } = device;
        if (event.errno !== EINVAL || interrupts === 'none' || INDEXES[interrupts] === index) return;
        if (refused.has(device)) return;
        refused.set(device, {
          index,
          event: event.number,
          since: interruptsSince?.event,
          message: `${irqIndexName(index)} was refused: ${interrupts.toUpperCase()} was enabled`,
        });
      }),
      end: () => {
        for (const device of [...refused.keys()]) tell(device, false);
      },
    };
  },
};
