// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { msiOf, overlaps } from './structures.js';

const ID_AND_NEXT = 2;
const ENABLE = 1;

export const MSI_001: Rule = {
  id: 'MSI-001',
  title: 'The MSI capability is not written: SET_IRQS sets MSI up',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'alters',
  basis: 'proven',
  why: `Address and data decide where the device writes when it interrupts. VFIO keeps them to itself; what a driver writes there changes a copy. But the control
word is passed on while MSI is enabled: clearing its enable bit behind the back of VFIO switches the interrupts off for good.`,
  sources: [
    'vfio_pci_config.c: init_pci_cap_msi_perm, vfio_msi_config_write',
    'PCIe 5.0 §7.7.1',
    'Lyon, June 2010: "we must not allow the user level driver to diddle the MSI or MSI-X areas"',
  ],
  decided: `A write to Message Control, Address or Data of the MSI capability. Writing what was read is a note. The mask bits are the driver's to use.`,
  wrongWhen:
    'A monitor passes on what its guest writes (profile vmm); saving and restoring all of configuration space writes it, too.',
  compliant: 'VFIO_DEVICE_SET_IRQS with index 1 and eventfds.',
  watch: (check) => ({
    on: {
      'config-write': ({ device, offset, bytes, held, event }) => {
        const msi = msiOf(device.state.config);
        if (msi === undefined) return;
        check.judged();
        const first = { start: msi.start + ID_AND_NEXT, end: msi.end };
        if (!overlaps(first, offset, bytes.length)) return;
        let changed = false;
        let outside = false;
        bytes.forEach((byte, i) => {
          const at = offset + i;
          if (at < first.start || at >= first.end) return;
          if (msi.mask !== undefined && at >= msi.mask.start && at < msi.mask.end) return;
          outside = true;
          if (held[i] !== byte) changed = true;
        });
        if (!outside) return;
        const control = first.start - offset;
        const kills =
          device.interrupts === 'msi' &&
          control >= 0 &&
          control < bytes.length &&
          ((bytes[control] as number) & ENABLE) === 0;
        const register = device.state.config.lookup(Math.max(offset, first.start))?.name ?? 'MSI';
        check.report({
          key: changed ? register : `${register} unchanged`,
          device,
          ...(changed || kills ? {} : { severity: 'note' as const }),
          message: kills
            ? `${register} was written at config+${hex(offset)}: it switches off the MSI that SET_IRQS had enabled`
            : `${register} was written at config+${hex(offset)}${changed ? '' : ' with what it held'}`,
          evidence: [
            { event: event.number, note: 'the write' },
            ...(device.interruptsSince === undefined
              ? []
              : [{ event: device.interruptsSince.event, note: `${device.interrupts} was enabled` }]),
          ],
        });
      },
    },
  }),
};
