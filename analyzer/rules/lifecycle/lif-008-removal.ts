// SPDX-License-Identifier: Apache-2.0

import { signalName } from '../../../abi/linux/signals.js';
import { durationText } from '../../../session/describe/time.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const SIGBUS = 7;
const ONES = 0xffff_ffff;
const REGISTERS = 3;
const LONG_NS = 1e9;

interface Silence {
  readonly since: number;
  readonly first: number;
  readonly offsets: Set<number>;
}

export const LIF_008: Rule = {
  id: 'LIF-008',
  title: 'A device that is gone is noticed, and left alone',
  severity: 'warning',
  profiles: { vmm: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  needs: ['accesses'],
  why: `A card that was pulled out, or whose link is down, answers all ones to every load; its mappings raise SIGBUS when the kernel takes them away. A driver that polls on takes ones for data, or
dies.`,
  sources: [
    'PCIe 5.0 §2.3.2 (completions for requests that fail)',
    'SPDK and DPDK have a SIGBUS handler',
    'Lyon, June 2010: hot-plug',
  ],
  decided: `Loads of 4 or 8 bytes from three registers or more gave all ones, none anything else, and the driver went on for longer than a second; or SIGBUS ended the process.`,
  wrongWhen: 'The registers hold all ones.',
  compliant: 'Read a register that is never all ones when one looks odd; then stop and close.',
  watch: (check) => {
    const silent = new Map<DeviceLife, Silence>();
    return {
      access: ({ device, direction, width, offset }) => {
        if (direction !== 'load' || (width !== 4 && width !== 8)) return undefined;
        check.judged();
        return (row) => {
          if (row.low !== ONES || (width === 8 && row.high !== ONES)) {
            if (silent.size > 0) silent.delete(device);
            return;
          }
          const held = silent.get(device);
          if (held === undefined) {
            silent.set(device, { since: row.time, first: row.event, offsets: new Set([offset]) });
            return;
          }
          if (held.offsets.size < REGISTERS) held.offsets.add(offset);
          else if (row.time - held.since > LONG_NS) {
            check.report({
              key: 'all ones',
              device,
              message: `every load read all ones for ${durationText(row.time - held.since)}, and the driver went on`,
              evidence: [
                { event: row.event, note: 'still all ones' },
                { event: held.first, note: 'all ones from here on' },
              ],
            });
          }
        };
      },
      on: {
        signal: ({ event, process }) => {
          if (event.op !== SIGBUS) return;
          const mapping = check.story.session.mappings.at(process, event.offset);
          const device = mapping === undefined ? undefined : check.story.devices.get(mapping.object);
          if (device === undefined) return;
          check.report({
            key: 'SIGBUS',
            device,
            message: `${signalName(SIGBUS)} at a mapped register ended the process`,
            evidence: [{ event: event.number, note: 'no handler' }],
          });
        },
      },
    };
  },
};
