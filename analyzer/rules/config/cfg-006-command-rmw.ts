// SPDX-License-Identifier: Apache-2.0
import { hexWidth } from '../../../abi/text.js';
import { COMMAND, COMMAND_MEMORY, covered, type DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const RECENT_NS = 1e9;

interface Known {
  readonly value: number;
  /** When it was read last, and by whom. */
  readonly read: { readonly event: number; readonly time: number; readonly thread: number } | undefined;
}

export const CFG_006: Rule = {
  id: 'CFG-006',
  title: 'The Command register is read, changed and written back',
  severity: 'error',
  profiles: { vmm: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `Memory Space Enable is in the same word as Bus Master Enable. Whoever writes 0x0004 to switch on bus mastering switches off the memory decoder:
the next load from a BAR is a SIGBUS.`,
  sources: ['PCIe 5.0 §7.5.1.1.3', 'vfio_pci_config.c: vfio_basic_config_write'],
  decided: `A write clears Memory Space Enable although it was set (it is at open), and the same thread had not read the register within the second
before.`,
  wrongWhen:
    'Switching it off on purpose, after reading, is not reported. A write of all the bits that are needed is fine, too.',
  compliant: 'Read the register, set or clear the bits that are meant, write it.',
  watch: (check) => {
    const known = new Map<DeviceLife, Known>();
    return {
      on: {
        'config-read': (step) => {
          const { device, event } = step;
          const value = covered(step, COMMAND, 2, known.get(device)?.value);
          if (value === undefined || !step.ok) return;
          known.set(device, {
            value,
            read: { event: event.number, time: event.time, thread: event.thread },
          });
        },
        'config-write': (step) => {
          const { device, event } = step;
          const before: Known = known.get(device) ?? { value: COMMAND_MEMORY, read: undefined };
          const value = covered(step, COMMAND, 2, before.value);
          if (value === undefined || !step.ok) return;
          check.judged();
          known.set(device, { value, read: before.read });
          if ((before.value & COMMAND_MEMORY) === 0 || (value & COMMAND_MEMORY) !== 0) return;
          const { read } = before;
          if (read !== undefined && read.thread === event.thread && event.time - read.time <= RECENT_NS)
            return;
          check.report({
            key: 'Command',
            device,
            message: `Command was written as ${hexWidth(value, 2)} without being read: memory decoding goes off`,
            evidence: [
              { event: event.number, note: 'memory decoding goes off' },
              ...(read === undefined ? [] : [{ event: read.event, note: 'last read here' }]),
            ],
          });
        },
      },
    };
  },
};
