// SPDX-License-Identifier: Apache-2.0
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { MSI, MSIX, onSetIrqs } from './requests.js';

const NORESIZE = 8;

interface Enabled {
  readonly index: number;
  readonly end: number;
  readonly event: number;
}

export const IRQ_005: Rule = {
  id: 'IRQ-005',
  title: 'Vectors of an index that can not grow (NORESIZE) are enabled all at once',
  severity: 'warning',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `With NORESIZE the first SET_IRQS decides how many vectors there are until all are switched off. One more later is EINVAL. Kernels since 6.5 add MSI-X vectors one by one and do not set the flag: a driver that was
tried on them only fails on older ones.`,
  sources: [
    'linux/vfio.h: VFIO_IRQ_INFO_NORESIZE',
    'vfio_pci_intrs.c: vfio_msi_set_block, has_dyn_msix (vfio_msi_alloc_irq)',
  ],
  decided:
    'GET_IRQ_INFO said NORESIZE, and SET_IRQS went beyond the vectors that were enabled first, while they were.',
  wrongWhen: 'Without the flag the rule is silent.',
  compliant: 'Enable the range that will be needed at once, with -1 for what has no eventfd yet.',
  watch: (check) => {
    const first = new Map<DeviceLife, Enabled>();
    return {
      ioctl: onSetIrqs(({ device, index, start, count, enables, disables }, { ok, event }) => {
        if (index !== MSI && index !== MSIX) return;
        if (disables) {
          if (ok && first.get(device)?.index === index) first.delete(device);
          return;
        }
        const info = device.irqInfo.get(index);
        if (!enables || info === undefined || (info.flags & NORESIZE) === 0) return;
        check.judged();
        const held = first.get(device);
        if (held === undefined) {
          if (ok) first.set(device, { index, end: start + count, event: event.number });
          return;
        }
        if (held.index !== index || start + count <= held.end) return;
        const what = irqIndexName(index);
        check.report({
          key: what,
          device,
          message: `${what} vector ${start + count - 1} was set, after ${held.end} had been enabled, and they can not grow`,
          evidence: [
            { event: event.number, note: ok ? 'set' : 'refused' },
            { event: held.event, note: 'enabled first' },
            { event: info.event, note: 'NORESIZE' },
          ],
        });
      }),
    };
  },
};
