// SPDX-License-Identifier: Apache-2.0
import { durationText } from '../../../session/describe/time.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Moment } from '../../../session/story/moment.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { ERR, onSetIrqs } from './requests.js';

const CAP_EXPRESS = 0x10;
const SHORT_NS = 10e9;
const PATIENCE_NS = 1e9;

export const ERR_001: Rule = {
  id: 'ERR-001',
  title: 'A driver hears of the device’s uncorrectable errors (ERR), and stops',
  severity: 'note',
  profiles: { vmm: 'note', test: 'off', lyon2010: 'off' },
  kernel: 'allows',
  basis: 'inferred',
  why: `When a PCI Express device reports a fatal error the kernel signals the eventfd of VFIO_PCI_ERR_IRQ_INDEX, and does nothing else: nobody recovers for the driver. Whoever has not set it works on with a broken device.`,
  sources: ['vfio_pci_core.c: vfio_pci_core_aer_err_detected', 'PCIe 5.0 §6.2'],
  decided: `A session with a PCI Express device that lasted longer than 10 s and never set ERR: a note. ERR was signalled, and the device was used for longer than a second afterwards without a reset: an error.`,
  wrongWhen:
    'A tool that runs for a moment needs none: silent. A device that answered GET_IRQ_INFO of ERR with no vector has none.',
  compliant: 'An eventfd for ERR; when it is signalled, stop, and reset or close the device.',
  watch: (check) => {
    const set = new Set<DeviceLife>();
    const signalled = new Map<DeviceLife, Moment>();
    const settle = (device: DeviceLife): void => {
      const since = signalled.get(device);
      signalled.delete(device);
      if (since === undefined || device.accessEvent <= since.event) return;
      const age = check.story.trace.ticksToNs(device.accessTicks) - since.time;
      if (age <= PATIENCE_NS) return;
      check.report({
        key: 'used after an error',
        device,
        severity: 'error',
        message: `the device reported an error, and was used for another ${durationText(age)} without a reset`,
        evidence: [
          { event: since.event, note: 'ERR' },
          { event: device.accessEvent, note: 'used still' },
        ],
      });
    };
    const ended = (device: DeviceLife, now: Moment): void => {
      settle(device);
      if (device.state.config.capability(CAP_EXPRESS) === undefined) return;
      if (device.irqInfo.get(ERR)?.count === 0 || !device.fromStart) return;
      check.judged();
      if (set.has(device) || now.time - device.opened.time <= SHORT_NS) return;
      check.report({
        key: 'not set',
        device,
        message: `ERR was not set in ${durationText(now.time - device.opened.time)}: errors of the device go unheard`,
        evidence: [
          { event: now.event, note: 'until here' },
          { event: device.opened.event, note: 'opened' },
        ],
      });
    };
    const reset = ({
      device,
      ok,
    }: {
      readonly device: DeviceLife | undefined;
      readonly ok: boolean;
    }): void => {
      if (device !== undefined && ok) settle(device);
    };
    return {
      ioctl: {
        ...onSetIrqs(({ device, index, enables }, { ok }) => {
          if (ok && enables && index === ERR) set.add(device);
        }),
        VFIO_DEVICE_RESET: reset,
        VFIO_DEVICE_PCI_HOT_RESET: reset,
      },
      eventfd: ({ route }) => {
        if (route === undefined || route.index !== ERR) return undefined;
        const device = check.story.devices.get(route.device);
        if (device === undefined) return undefined;
        return (row, action) => {
          if (action === 'write' || signalled.has(device)) return;
          signalled.set(device, { event: row.event, time: row.time });
        };
      },
      on: onGone(check.story, ended),
      end: () => {
        for (const device of check.story.devices.values())
          if (device.closed === undefined) ended(device, check.story.latest);
      },
    };
  },
};
