// SPDX-License-Identifier: Apache-2.0
import { durationText } from '../../../session/describe/time.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Moment } from '../../../session/story/moment.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { onSetIrqs, REQ } from './requests.js';

const LONG_NS = 10e9;

export const REQ_001: Rule = {
  id: 'REQ-001',
  title: 'A driver that runs for long lets itself be asked to give the device back (REQ)',
  severity: 'note',
  profiles: { test: 'off', lyon2010: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `Unbinding, hot-unplug and a shutdown wait until the device is closed. The kernel asks by the eventfd of VFIO_PCI_REQ_IRQ_INDEX; without one the administrator's command hangs ("No device request channel registered, blocked until
released by user").`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_request',
    'Lyon, June 2010, on hotplug and suspend: "don\'t bother with these today"',
  ],
  decided: 'A device was open for longer than 10 s, and REQ was never set.',
  wrongWhen:
    'ixy, libvfn, QEMU’s NVMe driver and the selftests have none; for a tool that ends by itself it does not matter.',
  compliant: 'An eventfd for REQ, as DPDK and QEMU’s vfio-pci have it.',
  watch: (check) => {
    const set = new Set<DeviceLife>();
    const ended = (device: DeviceLife, now: Moment): void => {
      if (!device.fromStart || device.isLyon) return;
      check.judged();
      const age = now.time - device.opened.time;
      if (age <= LONG_NS || set.has(device)) return;
      check.report({
        key: 'not set',
        device,
        message: `the device was open for ${durationText(age)}, and REQ was never set: nobody could ask for it back`,
        evidence: [
          { event: now.event, note: 'until here' },
          { event: device.opened.event, note: 'opened' },
        ],
      });
    };
    return {
      ioctl: onSetIrqs(({ device, index, enables }, { ok }) => {
        if (ok && enables && index === REQ) set.add(device);
      }),
      on: onGone(check.story, ended),
      end: () => {
        for (const device of check.story.devices.values())
          if (device.closed === undefined) ended(device, check.story.latest);
      },
    };
  },
};
