// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import { EventKind } from '../../../traces/model.js';
import type { Evidence, Rule } from '../../check/rule.js';

interface Early {
  /** In which bus mastering went on. */
  readonly event: number;
  /** In which GET_INFO lacked the flag. */
  readonly info: number;
  /** In which the controller was found running, by this register. */
  readonly running?: { readonly event: number; readonly register: string };
}

export const RST_001: Rule = {
  id: 'RST-001',
  title: 'The device is in a known state before it may do DMA: reset at open, or by the driver',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
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
switched on before that is an error when the controller was found running with memory mapped for it, or was never reset at all; a warning
when its own reset came next, before there was memory that it could reach; unknown when GET_INFO was not asked.`,
  wrongWhen: `A controller of a class that is not known here resets itself by a register that only its driver knows; then the finding is
for its author to waive. A device that is open elsewhere at the same time is not reset by this open, and the flag does not say so.`,
  compliant:
    'Look at the RESET flag; without it, reset the controller before bus mastering is switched on, or refuse the device.',
  watch: (check) => {
    const early = new Map<DeviceLife, Early>();
    const tell = (
      device: DeviceLife,
      severity: 'error' | 'warning',
      how: string,
      more: readonly Evidence[],
    ): void => {
      const { event, info } = early.get(device) as Early;
      early.delete(device);
      check.report({
        key: 'bus mastering',
        device,
        severity,
        message: `bus mastering was switched on while nothing had reset the device since it was opened${how}`,
        evidence: [
          { event, note: 'bus mastering goes on' },
          { event: info, note: 'GET_INFO lacks the RESET flag: the reset at open failed' },
          ...more,
        ],
      });
    };
    /** Whether what it does of itself could reach any memory. */
    const hasMemory = (device: DeviceLife): boolean => {
      const { spaces, session } = check.story;
      const space = spaces.of(device.id);
      if (space === undefined) return false;
      return spaces.isNoIommu(space) || session.dma.space(space.object, space.ioas).size > 0;
    };
    const runs = (device: DeviceLife, ...more: readonly Evidence[]): void => {
      const running = early.get(device)?.running;
      if (running === undefined) return;
      const { event, register } = running;
      tell(device, 'error', ', and it was running with memory mapped for it', [
        { event, note: `${register}: it runs` },
        ...more,
      ]);
    };
    return {
      on: {
        'config-write': ({ device, event }) => {
          if (!device.busMaster || device.masterSince?.event !== event.number) return;
          check.judged();
          if (device.knownState === undefined) {
            check.unknown(
              device.isLyon
                ? 'the kernel of 2010 resets at open, and does not say whether it worked'
                : 'VFIO_DEVICE_GET_INFO was not asked before bus mastering was switched on',
            );
            return;
          }
          if (device.knownState || device.info === undefined) return;
          early.set(device, { event: event.number, info: device.info.event });
        },
        controller: ({ device, what, register, event }) => {
          const held = early.get(device);
          if (held === undefined) return;
          if (what === 'enabled' && event.kind === EventKind.LOAD) {
            early.set(device, { ...held, running: { event: event.number, register } });
            if (hasMemory(device)) runs(device);
          } else if (what === 'reset' || what === 'stopped' || what === 'disabled')
            tell(device, 'warning', '; that it was stopped or reset by itself came after', [
              { event: event.number, note: `${register}: ${what}` },
            ]);
        },
        'dma-map': ({ event }) => {
          for (const [device, { running }] of early)
            if (running !== undefined && hasMemory(device))
              runs(device, { event: event.number, note: 'memory for it' });
        },
      },
      end: () => {
        for (const device of [...early.keys()]) tell(device, 'error', '', []);
      },
    };
  },
};
