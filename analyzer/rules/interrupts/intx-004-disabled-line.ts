// SPDX-License-Identifier: Apache-2.0
import { COMMAND, COMMAND_INTX_DISABLE, type DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { INTX } from './requests.js';

/** The driver is about to reset the device, or to give the line a trigger. */
const SOON_NS = 10e6;
const REMEMBERED = 1024;

interface Cleared {
  readonly device: DeviceLife;
  readonly event: number;
  readonly time: number;
}

export const INTX_004: Rule = {
  id: 'INTX-004',
  title: 'Interrupt Disable stays set while nobody listens to INTx',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `The bit reaches the hardware also when INTx is not in use: the device may assert a line then that has no handler. The host's kernel counts such interrupts and, after 100,000 of them, switches the line off for everybody ("nobody
cared"). QEMU had that bug.`,
  sources: [
    'vfio_pci_intrs.c: vfio_pci_intx_unmask_handler ("have the physical bit follow the virtual even when not using INTx")',
    'QEMU hw/vfio/pci.c: vfio_pci_pre_reset ("by not clearing PCI_COMMAND_INTX_DISABLE")',
    'PCIe 5.0 §7.5.1.1.3',
  ],
  decided: `A write to Command that cleared a set Interrupt Disable while INTx was not enabled, when the device has INTx, and was not reset, closed, or given an INTx trigger within 10 ms.`,
  wrongWhen: 'A 0 that is written where the bit was 0 changes nothing.',
  compliant: 'Set bit 10 of Command when MSI or MSI-X is used, and leave it set.',
  watch: (check) => {
    const cleared: Cleared[] = [];
    /** Command as it was last read or written. */
    const latest = new Map<DeviceLife, number>();
    return {
      on: {
        'config-read': ({ device }) => {
          if (device.command !== undefined) latest.set(device, device.command);
        },
        'config-write': ({ device, offset, bytes, held, ok, event }) => {
          const at = COMMAND + 1 - offset;
          if (!ok || at < 0 || at >= bytes.length || device.command === undefined) return;
          check.judged();
          const before = latest.get(device) ?? (held[at] ?? 0) << 8;
          latest.set(device, device.command);
          if ((before & ~device.command & COMMAND_INTX_DISABLE) === 0 || device.interrupts === 'intx') return;
          if (device.irqInfo.get(INTX)?.count === 0 || cleared.length >= REMEMBERED) return;
          cleared.push({ device, event: event.number, time: event.time });
        },
      },
      end: () => {
        for (const { device, event, time } of cleared) {
          const soon = (moment: { readonly time: number } | undefined): boolean =>
            moment !== undefined && moment.time >= time && moment.time <= time + SOON_NS;
          if (device.resets.some(soon) || soon(device.closed) || soon(device.intxSince)) continue;
          check.report({
            key: 'cleared',
            device,
            message: 'Interrupt Disable was cleared while nothing listened to INTx',
            evidence: [{ event, note: 'the write' }],
          });
        }
      },
    };
  },
};
