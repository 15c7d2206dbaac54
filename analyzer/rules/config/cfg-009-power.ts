// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

export const CFG_009: Rule = {
  id: 'CFG-009',
  title: 'The device is not put to sleep through PMCSR',
  severity: 'warning',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'alters',
  basis: 'proven',
  why: `VFIO takes the power state from the driver and changes it itself: in D3hot all mappings of the device are taken away and every access is a SIGBUS
until it is back in D0, and without NoSoftRst the way back is a reset.`,
  sources: [
    'vfio_pci_config.c: vfio_pm_config_write, vfio_lock_and_set_power_state',
    'PCI PM 1.2 §5.4.1',
    'Lyon 2010, Documentation/vfio.txt: not "in any non-standard way"',
  ],
  decided: 'A write to PMCSR that changes its PowerState to D1, D2 or D3hot.',
  wrongWhen: 'Power management is what the program is for.',
  compliant: 'LOW_POWER_ENTRY of VFIO_DEVICE_FEATURE lets the kernel do it.',
  watch: (check) => ({
    on: {
      'config-write': ({ device, event }) => {
        if (device.state.config.capability(1) === undefined) return;
        check.judged();
        if (device.powerState === 0 || device.powerSince?.event !== event.number) return;
        const name = device.powerState === 3 ? 'D3hot' : `D${device.powerState}`;
        check.report({
          key: name,
          device,
          message: `the device was put into ${name}`,
          evidence: [{ event: event.number, note: `PowerState becomes ${name}` }],
        });
      },
    },
  }),
};
