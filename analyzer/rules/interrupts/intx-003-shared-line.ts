// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { INTX, onSetIrqs } from './requests.js';

const EBUSY = 16;
const GONE_ON_EVENTS = 64;

export const INTX_003: Rule = {
  id: 'INTX-003',
  title: 'A driver copes with an INTx line that others use (EBUSY)',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'guessed',
  why: `A device that can't mask its own interrupt (PCI before 2.3) needs the line for itself: when another driver has it, SET_IRQS is EBUSY. Which machine that is nobody knows beforehand.`,
  sources: [
    'vfio_pci_intrs.c: vfio_intx_set_signal (IRQF_SHARED only with pci_2_3)',
    'vfio_pci_core.c: pci_intx_mask_supported; Lyon 2010: verify_pci_2_3',
  ],
  decided: `INTx was refused with EBUSY, no other kind of interrupt was enabled afterwards, and the device was used for more than 64 further events.`,
  wrongWhen: `A driver that polls from then on does nothing wrong: it can't be told from one that waits in vain. That a spurious interrupt of a shared line is taken for the device's own is not decided. Devices that report no INTx at
all (i40e, X550) are INTX-006's.`,
  compliant: 'MSI or MSI-X, or polling, when INTx is not to be had.',
  watch: (check) => {
    const refused = new Map<DeviceLife, number>();
    const settle = (device: DeviceLife): void => {
      const event = refused.get(device);
      refused.delete(device);
      if (event === undefined || device.accessEvent - event <= GONE_ON_EVENTS) return;
      check.report({
        key: 'EBUSY',
        device,
        message: 'the INTx line was busy, and the driver went on without any interrupts',
        evidence: [
          { event, note: 'EBUSY' },
          { event: device.accessEvent, note: 'the device is used' },
        ],
      });
    };
    return {
      ioctl: onSetIrqs(({ device, index, enables }, { ok, event }) => {
        if (!enables) return;
        check.judged();
        if (ok && index <= 2) refused.delete(device);
        else if (index === INTX && event.errno === EBUSY) refused.set(device, event.number);
      }),
      on: onGone(check.story, settle),
      end: () => {
        for (const device of [...refused.keys()]) settle(device);
      },
    };
  },
};
