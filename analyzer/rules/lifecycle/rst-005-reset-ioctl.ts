// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

export const RST_005: Rule = {
  id: 'RST-005',
  title: 'VFIO_DEVICE_RESET is used, not the FLR bit in configuration space',
  severity: 'note',
  profiles: { vmm: 'off' },
  kernel: 'alters',
  basis: 'proven',
  why: `VFIO does the reset that the bit asks for, and does not say whether it worked: the write succeeds in any case and the bit always reads 0. The ioctl has
a result, and finds other ways where there is no FLR.`,
  sources: [
    'vfio_pci_config.c: vfio_exp_config_write, vfio_af_config_write (the result of pci_try_reset_function is ignored)',
  ],
  decided: 'A write that sets Initiate Function Level Reset in Device Control, or in the AF capability.',
  wrongWhen: 'A guest does so through its monitor (profile vmm).',
  compliant: 'VFIO_DEVICE_RESET, and look at its result.',
  watch: (check) => ({
    on: {
      'config-write': ({ device, event }) => {
        check.judged();
        const reset = device.resets.at(-1);
        if (reset?.how !== 'FLR' || reset.event !== event.number) return;
        check.report({
          key: 'FLR',
          device,
          message: 'a function level reset through configuration space, whose result nobody sees',
          evidence: [{ event: event.number, note: 'the write' }],
        });
      },
    },
  }),
};
