// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';
import { PerKey, Rate } from './rate.js';

const NARROW_PER_SECOND = 100;
const HALVES_PER_SECOND = 1000;

export const PERF_010: Rule = {
  id: 'PERF-010',
  title: 'Registers are accessed in one piece',
  severity: 'note',
  profiles: { vmm: 'off', test: 'off' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: 'Two halves are two transactions on the bus; of a register that changes they may not even belong together.',
  sources: [
    'PCIe 5.0 §2.2.5 (byte enables)',
    'NVM Express 1.4 §3.1 (64-bit registers may be accessed by 32-bit halves)',
  ],
  decided: `More than 100 accesses of one or two bytes within a second to a register of four or more; or more than 1,000 accesses of four bytes to a register of
eight. Only where registers are known.`,
  wrongWhen:
    'A device or a bus that does not take 64-bit accesses. BAR-005 says where an access is not only slow.',
  compliant: 'Access a register at its width.',
  watch: (check) => {
    const pieces = new PerKey<
      string,
      { readonly rate: Rate; device: DeviceLife | undefined; name: string; wide: number; width: number }
    >(() => ({ rate: new Rate(), device: undefined, name: '', wide: 0, width: 0 }));
    return {
      access: ({ device, register, width }) => {
        if (register === undefined) return undefined;
        check.judged();
        const wide = register.register.width;
        const narrow = width < 4 && width > 0 && wide >= 4;
        const half = width === 4 && wide === 8;
        if (!narrow && !half) return undefined;
        const held = pieces.of(`${device.id} ${register.name} ${width}`);
        Object.assign(held, { device, name: register.name, wide, width });
        return (row) => held.rate.add(row.time, row.event);
      },
      end: () => {
        for (const [, { rate, device, name, wide, width }] of pieces) {
          if (device === undefined || rate.peak <= (width === 4 ? HALVES_PER_SECOND : NARROW_PER_SECOND))
            continue;
          check.report({
            key: name.replace(/\d+/g, 'n'),
            device,
            message: `${name} has ${wide} bytes and was accessed ${rate.total} times by ${width}, ${rate.peak} within one second`,
            evidence: [{ event: rate.event, note: 'the busiest second begins here' }],
          });
        }
      },
    };
  },
};
