// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const RECOVERY_NS = 100e6;
const ONES = 0xffff_ffff;
const TIMES = 3;

interface Ones {
  count: number;
  first: number;
}

export const RST_008: Rule = {
  id: 'RST-008',
  title: 'A device that answers all ones after a reset is waited for',
  severity: 'warning',
  profiles: { vmm: 'off' },
  kernel: 'allows',
  basis: 'guessed',
  needs: ['accesses'],
  why: `A function needs up to 100 ms after a reset, and answers nothing until then: loads read all ones. A driver that takes these for data sets the device up with
nonsense.`,
  sources: ['PCIe 5.0 §6.6.2', 'drivers/pci/pci.c: pcie_flr waits for it', 'edk2 issue 13089'],
  decided:
    'Within 100 ms after a reset three loads of 4 or 8 bytes in a row read all ones, and the next access was a store.',
  wrongWhen: 'The registers hold all ones.',
  compliant: 'Poll a register that is never all ones until it is not, with a limit; then go on.',
  watch: (check) => {
    const ones = new Map<DeviceLife, Ones>();
    return {
      access: ({ device, direction, region, offset, width, register }) => {
        const reset = device.resets.at(-1);
        if (reset === undefined || reset.how === 'at open' || reset.how === 'controller') return undefined;
        check.judged();
        if (direction === 'load') {
          if (width !== 4 && width !== 8) return undefined;
          return (row) => {
            if (row.low !== ONES || (width === 8 && row.high !== ONES)) {
              ones.delete(device);
              return;
            }
            if (row.time - reset.time > RECOVERY_NS) return;
            const held = ones.get(device);
            if (held === undefined) ones.set(device, { count: 1, first: row.event });
            else held.count++;
          };
        }
        return (row) => {
          const held = ones.get(device);
          if (held === undefined) return;
          ones.delete(device);
          if (held.count < TIMES || row.time - reset.time > RECOVERY_NS) return;
          check.report({
            key: register?.name ?? `${regionName(region)}+${hex(offset)}`,
            device,
            message: `${held.count} loads after ${reset.how} read all ones, and the driver went on with a store`,
            evidence: [
              { event: row.event, note: 'the store' },
              { event: held.first, note: 'all ones from here on' },
              { event: reset.event, note: reset.how },
            ],
          });
        };
      },
    };
  },
};
