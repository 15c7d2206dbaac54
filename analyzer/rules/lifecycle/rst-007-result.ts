// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { type DeviceLife, INFO_RESET } from '../../../session/story/device-life.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const EINVAL = 22;
const ENOTTY = 25;

interface Failure {
  readonly event: number;
  readonly errno: number;
  readonly name: string;
}

export const RST_007: Rule = {
  id: 'RST-007',
  title: 'A reset that failed is not taken for one',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: 'After a failed reset the device is as it was: running, perhaps, with the addresses of before. Going on as if it were fresh is how memory gets corrupted.',
  sources: [
    'vfio_pci_core.c: vfio_pci_ioctl_reset',
    'Lyon, June 2010: "Don\'t we care if it fails then? I think we do"',
  ],
  decided: `A reset ioctl failed, and the driver rang, stored or switched on bus mastering next, without another reset or the controller's own in between. A warning
where EINVAL only says what GET_INFO had said before: that there is no reset (RST-001 judges that).`,
  wrongWhen: 'The driver resets its device by a register that is not known here.',
  compliant: 'Try again, reset in another way, or close the device.',
  watch: (check) => {
    const failed = new Map<DeviceLife, Failure>();
    const wentOn = (device: DeviceLife, event: number, what: string): void => {
      const failure = failed.get(device);
      if (failure === undefined) return;
      failed.delete(device);
      const reset = device.resets.at(-1);
      if (reset !== undefined && reset.event > failure.event) return;
      const none =
        (failure.errno === EINVAL || failure.errno === ENOTTY) &&
        device.info !== undefined &&
        (device.info.flags & INFO_RESET) === 0;
      check.report({
        key: `${failure.name} ${errnoName(failure.errno)}`,
        device,
        ...(none ? { severity: 'warning' as const } : {}),
        message: `${failure.name} failed with ${errnoName(failure.errno)}, and the driver went on: ${what}`,
        evidence: [
          { event, note: what },
          { event: failure.event, note: `the reset failed: ${errnoName(failure.errno)}` },
        ],
      });
    };
    const look = ({ device, event, ok, name }: IoctlStep): void => {
      if (device === undefined) return;
      check.judged();
      if (ok) failed.delete(device);
      else failed.set(device, { event: event.number, errno: event.errno, name });
    };
    return {
      ioctl: { VFIO_DEVICE_RESET: look, VFIO_DEVICE_PCI_HOT_RESET: look },
      on: {
        'config-write': ({ device, event }) => {
          if (device.masterSince?.event === event.number && device.busMaster)
            wentOn(device, event.number, 'bus mastering was switched on');
        },
        controller: ({ device, what }) => {
          if (what === 'disabled' || what === 'reset' || what === 'stopped') failed.delete(device);
        },
      },
      access: ({ device, direction, register }) => {
        if (direction === 'load' || !failed.has(device)) return undefined;
        const name = register?.name;
        // These may be the beginning of the controller's own reset.
        if (name === 'CC' || name === 'CTRL' || name === 'device_status') return undefined;
        return (row) => wentOn(device, row.event, `a ${direction}${name === undefined ? '' : ` to ${name}`}`);
      },
    };
  },
};
