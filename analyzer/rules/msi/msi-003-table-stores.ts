// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';
import { msixOf, overlaps } from './structures.js';

const ENTRY = 16;
const VECTOR_CONTROL = 12;

export const MSI_003: Rule = {
  id: 'MSI-003',
  title: 'Nobody stores into the MSI-X table',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  needs: ['accesses'],
  why: `An entry of the table is the address and the data that the device writes when it interrupts: with another one it writes anywhere that the IOMMU lets it, or
raises interrupts that belong to somebody else where there is no interrupt remapping. Since Linux 4.16 the page can be mapped, and
nothing stands between the driver and the table.`,
  sources: [
    'linux/vfio.h: VFIO_REGION_INFO_CAP_MSIX_MAPPABLE ("SET_IRQS must still be used for MSIX configuration")',
    'vfio_pci_rdwr.c: vfio_pci_core_do_io_rw protects read and write only',
    'PCIe 5.0 §7.7.2, §6.1.4',
    'Lyon, June 2010: "either in config space or in the device memory space"',
  ],
  decided: `A store to the bytes that the MSI-X capability says are the table. One to the Vector Control word of an entry alone is a warning: masking by
hand.`,
  wrongWhen:
    'Registers in the same page are nobody’s business. Some Realtek cards have a back door to the table, which a monitor uses.',
  compliant: 'VFIO_DEVICE_SET_IRQS with index 2; the device’s own registers to mask.',
  watch: (check) => ({
    access: ({ device, region, offset, width, direction, register }) => {
      if (direction === 'load') return undefined;
      const msix = msixOf(device.state.config);
      if (msix === undefined) {
        if (device.state.config.capability(0x11) !== undefined)
          check.unknown('where the MSI-X table is was never read');
        return undefined;
      }
      check.judged();
      const { table } = msix;
      if (table.bar !== region || !overlaps(table, offset, width)) return undefined;
      const mask = (offset - table.start) % ENTRY === VECTOR_CONTROL && width <= 4;
      const entry = Math.floor((offset - table.start) / ENTRY);
      const name = register?.name ?? `entry ${entry}`;
      return (row) => {
        check.report({
          key: mask ? 'vector control' : 'entry',
          device,
          ...(mask ? { severity: 'warning' as const } : {}),
          message: `a ${direction} to the MSI-X table at ${regionName(region)}+${hex(offset)} (${name})${mask ? ': a vector masked by hand' : ''}`,
          evidence: [{ event: row.event, note: `entry ${entry}` }],
        });
      };
    },
  }),
};
