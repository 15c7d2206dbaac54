// SPDX-License-Identifier: Apache-2.0
import { durationText } from '../../../session/describe/time.js';
import { COMMAND, COMMAND_INTX_DISABLE, type DeviceLife } from '../../../session/story/device-life.js';
import type { Moment } from '../../../session/story/moment.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { ACTION_UNMASK, INTX, onSetIrqs } from './requests.js';

/** So long a driver that handled its last interrupt may take to switch the line off. */
const PATIENCE_NS = 1e9;

export const INTX_001: Rule = {
  id: 'INTX-001',
  title: 'INTx is unmasked after each interrupt',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `The kernel masks the line when it signals the eventfd, since it can't know how to make the device withdraw the interrupt. Until the driver unmasks it there is no other: a driver that forgets works once, and waits for
ever then.`,
  sources: [
    'vfio_pci_intrs.c: vfio_intx_handler (masks), vfio_pci_set_intx_unmask; VFIO_IRQ_INFO_AUTOMASKED',
    'Lyon 2010, Documentation/vfio.txt: disabled after each interrupt until the driver re-enables (VFIO_IRQ_EOI)',
  ],
  decided: `The line's eventfd was read, and for more than a second afterwards, until the line was switched off, the device closed or reset or the recording ended, nothing unmasked it: no SET_IRQS with UNMASK, no write to the
unmask eventfd, no Command write that cleared Interrupt Disable, no VFIO_IRQ_EOI.`,
  wrongWhen: `With KVM's irqfd and resamplefd all of it happens in the kernel: silent. A driver that switches the line off while it handles the interrupt need not unmask it.`,
  compliant: 'Make the device withdraw the interrupt, then SET_IRQS with UNMASK and DATA_NONE.',
  watch: (check) => {
    const masked = new Map<DeviceLife, Moment>();
    const settle = (device: DeviceLife, now: Moment, how: string): void => {
      const since = masked.get(device);
      if (since === undefined) return;
      masked.delete(device);
      const age = now.time - since.time;
      if (age <= PATIENCE_NS) return;
      check.report({
        key: 'masked',
        device,
        message: `an INTx interrupt was taken, and the line was not unmasked in the ${durationText(age)} until ${how}`,
        evidence: [
          { event: since.event, note: 'the interrupt; the kernel masked the line' },
          { event: now.event, note: how },
        ],
      });
    };
    const reset = ({
      device,
      ok,
      event,
    }: {
      device: DeviceLife | undefined;
      ok: boolean;
      event: { number: number; time: number };
    }): void => {
      if (device !== undefined && ok) settle(device, { event: event.number, time: event.time }, 'the reset');
    };
    const irqs = onSetIrqs(({ device, index, flags, disables }, { ok, event }) => {
      if (!ok || index !== INTX) return;
      if ((flags & ACTION_UNMASK) !== 0) masked.delete(device);
      else if (disables) settle(device, { event: event.number, time: event.time }, 'it was switched off');
    });
    return {
      ioctl: {
        ...irqs,
        VFIO_IRQ_EOI: ({ device, ok }) => {
          if (device !== undefined && ok) masked.delete(device);
        },
        VFIO_DEVICE_RESET: reset,
      },
      eventfd: ({ route, inKernel }) => {
        if (route === undefined || route.index !== INTX || inKernel) return undefined;
        const device = check.story.devices.get(route.device);
        if (device === undefined) return undefined;
        if (route.role === 'unmask')
          return (_, action) => {
            if (action === 'write') masked.delete(device);
          };
        return (row, action) => {
          if (action !== 'read' || row.errno !== 0) return;
          check.judged();
          if (!masked.has(device)) masked.set(device, { event: row.event, time: row.time });
        };
      },
      on: {
        'config-write': ({ device, offset, bytes }) => {
          // "have the physical bit follow the virtual": 1 to 0 unmasks (vfio_pci_intx_unmask_handler).
          if (offset > COMMAND + 1 || offset + bytes.length <= COMMAND + 1) return;
          if (device.command !== undefined && (device.command & COMMAND_INTX_DISABLE) === 0)
            masked.delete(device);
        },
        ...onGone(check.story, (device, now) => settle(device, now, 'the device was closed')),
      },
      end: () => {
        for (const device of [...masked.keys()]) settle(device, check.story.latest, 'the recording ended');
      },
    };
  },
};
