// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { MSIX, overlaps } from './structures.js';

const CAPABILITY_BYTES = 12;

export const MSI_002: Rule = {
  id: 'MSI-002',
  title: 'The MSI-X capability is not written: SET_IRQS sets MSI-X up',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'alters',
  basis: 'proven',
  why: `The write succeeds and is dropped: the driver believes that MSI-X is enabled, or that all vectors are masked, and it is not so. Ports of kernel
drivers that do what pci_enable_msix does are the usual case.`,
  sources: [
    'vfio_pci_config.c: cap_perms[PCI_CAP_ID_MSIX] has no write function',
    'PCIe 5.0 §7.7.2',
    'Lyon, June 2010: "the MSI or MSI-X areas"',
  ],
  decided:
    'A write to Message Control, Table or PBA of the MSI-X capability. Writing what was read is a note.',
  wrongWhen: 'A monitor passes on what its guest writes (profile vmm).',
  compliant: 'VFIO_DEVICE_SET_IRQS with index 2 and eventfds.',
  watch: (check) => ({
    on: {
      'config-write': ({ device, offset, bytes, held, event }) => {
        const found = device.state.config.capability(MSIX);
        if (found === undefined) return;
        check.judged();
        const range = { start: found.offset + 2, end: found.offset + CAPABILITY_BYTES };
        if (!overlaps(range, offset, bytes.length)) return;
        const changed = bytes.some((byte, i) => held[i] !== byte);
        const register = device.state.config.lookup(Math.max(offset, range.start))?.name ?? 'MSIX';
        check.report({
          key: changed ? register : `${register} unchanged`,
          device,
          ...(changed ? {} : { severity: 'note' as const }),
          message: `${register} was written at config+${hex(offset)}${changed ? ', which is dropped' : ' with what it held'}`,
          evidence: [{ event: event.number, note: 'the write' }],
        });
      },
    },
  }),
};
