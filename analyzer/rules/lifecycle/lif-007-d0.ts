// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

export const LIF_007: Rule = {
  id: 'LIF-007',
  title: 'No load or store while the device is not in D0',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  needs: ['accesses'],
  why: 'In D1 to D3hot a function answers configuration requests only. VFIO takes the mappings away at D3hot: the access is a SIGBUS.',
  sources: ['vfio_pci_config.c: vfio_pm_config_write, vfio_lock_and_set_power_state', 'PCI PM 1.2 §5.4'],
  decided: 'A load or store while the PowerState that the driver wrote to PMCSR last was not D0.',
  wrongWhen: 'The device woke by itself, which PMCSR would show.',
  compliant: 'Write D0, wait 10 ms, restore what the device lost, go on.',
  watch: (check) => ({
    access: ({ device, region, offset, direction }) => {
      if (device.powerSince === undefined) return undefined;
      check.judged();
      if (device.powerState === 0) return undefined;
      const since = device.powerSince;
      const name = device.powerState === 3 ? 'D3hot' : `D${device.powerState}`;
      return (row) => {
        check.report({
          key: `${direction} ${name}`,
          device,
          message: `a ${direction} at ${regionName(region)}+${hex(offset)} in ${name}`,
          evidence: [
            { event: row.event, note: 'the access' },
            { event: since.event, note: `${name} was written` },
          ],
        });
      };
    },
  }),
};
