// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { RegionStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';
import { ACTION_UNMASK, INTX, onSetIrqs } from './requests.js';

const AT_ONCE_NS = 50_000;
const TIMES = 3;

interface Line {
  /** The interrupt that is being handled, and the latest access to the device when it came. */
  taken: { readonly event: number; readonly access: number } | undefined;
  /** When it was unmasked without a look at the device, ns; undefined: it was looked at. */
  blind: { readonly event: number; readonly time: number } | undefined;
  inARow: number;
}

export const INTX_002: Rule = {
  id: 'INTX-002',
  title: 'The cause of an INTx interrupt is withdrawn before the line is unmasked',
  severity: 'warning',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'allows',
  basis: 'guessed',
  needs: ['accesses'],
  why: `INTx is a level: as long as the device asserts it, the interrupt comes again the moment the line is unmasked. A driver that unmasks first is woken without end, and does nothing else.`,
  sources: ['PCI Local Bus 3.0 §2.2.6 (level-sensitive)', 'vfio_pci_intrs.c: vfio_intx_handler'],
  decided: `Three times in a row the line was unmasked with no access to the device since the interrupt, and the next interrupt came within 50 µs.`,
  wrongWhen: `A monitor unmasks when its guest says so, and does not see what the guest does to the device (profile vmm: off). Accesses that were not recorded (--mmio off) leave the answer unknown.`,
  compliant: 'Read the device’s interrupt cause register (or write it) before unmasking.',
  watch: (check) => {
    const lines = new Map<DeviceLife, Line>();
    const byDescriptor = new Map<DeviceLife, number>();
    const lineOf = (device: DeviceLife): Line => {
      const line = lines.get(device) ?? { taken: undefined, blind: undefined, inARow: 0 };
      lines.set(device, line);
      return line;
    };
    const touched = (device: DeviceLife): number =>
      Math.max(device.accessEvent, byDescriptor.get(device) ?? -1);
    const region = ({ device, event }: RegionStep): void => {
      byDescriptor.set(device, event.number);
    };
    return {
      ioctl: onSetIrqs(({ device, index, flags }, { ok, event }) => {
        if (!ok || index !== INTX || (flags & ACTION_UNMASK) === 0) return;
        const line = lineOf(device);
        const { taken } = line;
        if (taken === undefined) return;
        line.taken = undefined;
        check.judged();
        if (touched(device) > taken.access) {
          line.blind = undefined;
          line.inARow = 0;
        } else line.blind = { event: event.number, time: event.time + event.duration };
      }),
      eventfd: ({ route, inKernel }) => {
        if (route === undefined || route.index !== INTX || route.role !== 'trigger' || inKernel)
          return undefined;
        const device = check.story.devices.get(route.device);
        if (device === undefined) return undefined;
        const line = lineOf(device);
        return (row, action) => {
          if (action !== 'read' || row.errno !== 0) return;
          const { blind } = line;
          line.taken = { event: row.event, access: touched(device) };
          line.blind = undefined;
          if (blind === undefined) return;
          if (row.time - blind.time > AT_ONCE_NS) {
            line.inARow = 0;
            return;
          }
          if (++line.inARow < TIMES) return;
          check.report({
            key: 'storm',
            device,
            message: `the INTx line was unmasked without a look at the device, and the interrupt came again at once, ${TIMES} times in a row`,
            evidence: [
              { event: row.event, note: 'again' },
              { event: blind.event, note: 'unmasked' },
            ],
          });
        };
      },
      on: { 'region-read': region, 'region-write': region },
    };
  },
};
