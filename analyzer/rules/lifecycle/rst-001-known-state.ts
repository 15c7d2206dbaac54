// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

export const RST_001: Rule = {
  id: 'RST-001',
  title: 'The device is in a known state before it may do DMA: reset at open, or by the driver',
  severity: 'error',
  kernel: 'allows',
  basis: 'proven',
  why: `A device that an earlier user left running keeps the addresses that it was given. Bus mastering lets it write there, into
memory that is somebody else's by now. vfio-pci tries to reset the function at open and goes on when that fails; all that the driver
gets to see of it is that VFIO_DEVICE_GET_INFO lacks the RESET flag.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_enable (pci_try_reset_function; only EAGAIN fails the open; reset_works)',
    'linux/vfio.h: VFIO_DEVICE_FLAGS_RESET',
    'Lyon, June 2010: "it\'ll now fail open if reset fails"',
  ],
  decided: `Known from the first of: GET_INFO with the RESET flag, a VFIO_DEVICE_RESET or hot reset that succeeded, a function level
reset through config space, or the controller's own reset where its class is known (NVMe: CC.EN 0 and CSTS.RDY 0). Bus mastering
switched on before that is an error when GET_INFO said that there was no reset, and unknown when GET_INFO was never asked.`,
  wrongWhen: `A controller of a class that is not known resets itself by a register that only its driver knows; then the finding is
for its author to waive.`,
  compliant:
    'Look at the RESET flag; without it, reset the controller before bus mastering is switched on, or refuse the device.',
  watch: (check) => {
    return {
      on: {
        'config-write': ({ device, event }) => {
          if (!device.busMaster || device.masterSince?.event !== event.number) return;
          check.judged();
          if (device.knownState === undefined) {
            check.unknown('VFIO_DEVICE_GET_INFO was not asked before bus mastering was switched on');
            return;
          }
          if (device.knownState || device.info === undefined) return;
          check.report({
            key: 'bus mastering',
            device,
            message: 'bus mastering was switched on while nothing had reset the device since it was opened',
            evidence: [
              { event: event.number, note: 'bus mastering goes on' },
              { event: device.info.event, note: 'GET_INFO lacks the RESET flag: the reset at open failed' },
            ],
          });
        },
      },
    };
  },
};
