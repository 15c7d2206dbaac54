// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

const POINTLESS: ReadonlyMap<number, string> = new Map([
  [0x0c, 'Cache Line Size'],
  [0x0d, 'Latency Timer'],
  [0x3c, 'Interrupt Line'],
]);

export const CFG_008: Rule = {
  id: 'CFG-008',
  title: 'Interrupt Line, Cache Line Size and Latency Timer are left alone',
  severity: 'note',
  profiles: { vmm: 'off' },
  kernel: 'alters',
  basis: 'proven',
  why: 'The interrupt line is VFIO’s own copy, and PCI Express devices ignore the other two: setting them is a habit of drivers for PCI.',
  sources: ['vfio_pci_config.c: init_pci_cap_basic_perm', 'PCIe 5.0 §7.5.1.1.7, §7.5.1.1.8, §7.5.1.1.12'],
  decided: 'A write that changes one of the three bytes.',
  wrongWhen: 'A conventional PCI device behind a bridge does use the first two.',
  compliant: 'Do not write them.',
  watch: (check) => ({
    on: {
      'config-write': ({ device, offset, bytes, held, event }) => {
        check.judged();
        bytes.forEach((byte, i) => {
          const name = POINTLESS.get(offset + i);
          if (name === undefined || held[i] === byte) return;
          check.report({
            key: name,
            device,
            message: `${name} was written, which does nothing`,
            evidence: [{ event: event.number, note: 'the write' }],
          });
        });
      },
    },
  }),
};
