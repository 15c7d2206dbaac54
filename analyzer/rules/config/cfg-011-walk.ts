// SPDX-License-Identifier: Apache-2.0

import { CONFIG_BYTES } from '../../../abi/pci/config-space.js';
import { hex } from '../../../abi/text.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const FIRST_CAPABILITY = 0x40;

export const CFG_011: Rule = {
  id: 'CFG-011',
  title: 'Capabilities are found by walking the list, not by an offset known by heart',
  severity: 'warning',
  profiles: { vmm: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  why: `VFIO hides capabilities and links the list anew around them, and another revision of the card has them elsewhere. A driver that writes to a
fixed offset writes into something else then.`,
  sources: ['vfio_pci_config.c: vfio_cap_init', 'PCIe 5.0 §7.5.1.1.11'],
  decided:
    'A write to a register of a capability whose header (id and next pointer) the driver had not read before.',
  wrongWhen: 'The driver found the capability in sysfs, or in another process.',
  compliant: 'Start at 0x34 (or 0x100), mask the low bits, follow at most 48 links, compare the id.',
  watch: (check) => {
    const read = new Map<DeviceLife, Uint8Array>();
    return {
      on: {
        'config-read': ({ device, offset, bytes }) => {
          const seen = read.get(device) ?? new Uint8Array(CONFIG_BYTES);
          read.set(device, seen);
          seen.fill(1, offset, Math.min(CONFIG_BYTES, offset + bytes.length));
        },
        'config-write': ({ device, offset, bytes, event }) => {
          if (offset < FIRST_CAPABILITY || bytes.length === 0) return;
          const placed = device.state.config.lookup(offset);
          const owner = device.state.config.capabilities.find(
            ({ name, offset: start }) => placed?.name.startsWith(`${name}.`) === true && start <= offset,
          );
          if (owner === undefined) return;
          if (!device.fromStart) {
            check.unknown('the device was open before the recording began');
            return;
          }
          check.judged();
          if (read.get(device)?.[owner.offset] === 1) return;
          check.report({
            key: owner.name,
            device,
            message: `${placed?.name ?? owner.name} at config+${hex(offset)} was written, and its capability at ${hex(owner.offset)} was never read`,
            evidence: [{ event: event.number, note: 'the write' }],
          });
        },
      },
    };
  },
};
