// SPDX-License-Identifier: Apache-2.0
import { signalName } from '../../../abi/linux/signals.js';
import { INFO_RESET } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const CLN_006: Rule = {
  id: 'CLN-006',
  title: 'On every way out the device is quiet, or the kernel can reset it',
  severity: 'warning',
  profiles: { lyon2010: 'error', vmm: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  why: `When a process ends with its device running, the kernel switches bus mastering off and tries to reset the function. A device that can't be reset
keeps its state: queues, addresses, and data of this user, for the next one.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_disable (pci_clear_master, __pci_reset_function_locked, vfio_pci_dev_set_try_reset)',
    'Lyon, June 2010: "we should make sure that we *can* reset on close"',
  ],
  decided: `A process ended, by exit or signal, while a device of it was open, bus mastering was on and its controller not known to be disabled.
A warning when GET_INFO lacks the RESET flag, a note when it has it. The kernel of 2010 resets nothing at close: an error there.`,
  wrongWhen:
    'The controller was stopped by a register that is not known. A SIGKILL is not the driver’s fault: a note.',
  compliant: 'Handle the signals that end the program, stop the device, clear bus mastering, close.',
  watch: (check) => {
    const signals = new Map<number, number>();
    return {
      on: {
        signal: ({ event, process }) => {
          signals.set(process, event.op);
        },
        exit: (step) => tell(step.gone, step.event.number, 'the process ended'),
        'config-write': () => check.judged(),
      },
      end: () => {
        const open = [...check.story.devices.values()].filter(({ closed }) => closed === undefined);
        tell(
          open.map(({ id }) => id),
          check.story.latest.event,
          [...signals.values()].map((signal) => `the process was ended by ${signalName(signal)}`)[0] ??
            'the recording ended',
        );
      },
    };
    function tell(objects: readonly number[], event: number, how: string): void {
      for (const object of objects) {
        const device = check.story.devices.get(object);
        if (device === undefined) continue;
        check.judged();
        if (!device.busMaster || device.controllerEnabled === false) continue;
        if (device.info === undefined && !device.isLyon) {
          check.unknown('whether the device can be reset was not asked (GET_INFO)');
          continue;
        }
        const resettable = ((device.info?.flags ?? 0) & INFO_RESET) !== 0;
        check.report({
          key: resettable ? 'resettable' : 'not resettable',
          device,
          ...(resettable && { severity: 'note' as const }),
          message: `${how} while the device was running with bus mastering on${resettable ? '' : ', and it can not be reset'}`,
          evidence: [
            { event, note: how },
            ...(device.masterSince === undefined
              ? []
              : [{ event: device.masterSince.event, note: 'bus mastering was switched on' }]),
            ...(device.info === undefined
              ? []
              : [
                  {
                    event: device.info.event,
                    note: resettable ? 'it can be reset' : 'GET_INFO lacks the RESET flag',
                  },
                ]),
          ],
        });
      }
    }
  },
};
