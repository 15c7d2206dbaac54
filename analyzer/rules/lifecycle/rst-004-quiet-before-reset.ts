// SPDX-License-Identifier: Apache-2.0
import { durationText } from '../../../session/describe/time.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { ERR } from '../interrupts/requests.js';

const ACTIVE_NS = 1e9;

export const RST_004: Rule = {
  id: 'RST-004',
  title: 'The device is made quiet before it is reset in the middle of a session',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `A reset while the device is working cuts its transactions off: interrupts get lost, completions may still arrive in memory that the driver takes for free, and
some devices do not come back.`,
  sources: [
    'QEMU hw/vfio/pci.c: vfio_pci_pre_reset ("Stop any ongoing DMA by disconnecting I/O, MMIO, and bus master")',
    'PCIe 5.0 §6.6.2',
  ],
  decided: `A reset ioctl while bus mastering was on, an interrupt was enabled, the controller was not known to be disabled, and the device's memory had been accessed
within the second before.`,
  wrongWhen:
    'A device that hangs is reset as it is: that is what the reset is for. After the eventfd of ERR was read it is known to, and silent; else it can’t be told. The reset before anything runs is not reported.',
  compliant: 'Stop the controller, disable interrupts, clear bus mastering, reset.',
  watch: (check) => {
    /** Of which an error was heard since their last reset. */
    const failed = new Set<DeviceLife>();
    const look = ({ device, event, ok, name }: IoctlStep): void => {
      if (device === undefined || !ok) return;
      check.judged();
      if (failed.delete(device)) return;
      if (!device.busMaster || device.interrupts === 'none' || device.controllerEnabled === false) return;
      if (device.accessEvent < 0) return;
      const since = event.time - check.story.trace.ticksToNs(device.accessTicks);
      if (since > ACTIVE_NS) return;
      check.report({
        key: name,
        device,
        message: `${name} ${durationText(since)} after the last access, with bus mastering and ${device.interrupts.toUpperCase()} on`,
        evidence: [
          { event: event.number, note: 'the reset' },
          { event: device.accessEvent, note: 'the last access to its memory' },
          ...(device.masterSince === undefined
            ? []
            : [{ event: device.masterSince.event, note: 'bus mastering was switched on' }]),
        ],
      });
    };
    return {
      ioctl: { VFIO_DEVICE_RESET: look, VFIO_DEVICE_PCI_HOT_RESET: look },
      eventfd: ({ route }) => {
        if (route === undefined || route.index !== ERR) return undefined;
        const device = check.story.devices.get(route.device);
        if (device === undefined) return undefined;
        return (_row, action) => {
          if (action !== 'write') failed.add(device);
        };
      },
    };
  },
};
