// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { ConfigStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const BARS_START = 0x10;
const BARS_END = 0x28;
const ROM = 0x30;

/** The bytes of the write that fall into BARs or the ROM register, if any. */
function inBars({ offset, bytes }: ConfigStep): number | undefined {
  for (let i = 0; i < bytes.length; i++) {
    const at = offset + i;
    if ((at >= BARS_START && at < BARS_END) || (at >= ROM && at < ROM + 4)) return i;
  }
  return undefined;
}

export const CFG_001: Rule = {
  id: 'CFG-001',
  title: 'BARs are virtual: nobody moves or sizes them through configuration space',
  severity: 'warning',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'alters',
  basis: 'proven',
  why: `VFIO keeps its own copy of the BARs: what is written there changes the copy and not the device. A driver that relocates a BAR goes
on to find its registers where they were.`,
  sources: [
    'vfio_pci_config.c: init_pci_cap_basic_perm, vfio_bar_fixup',
    'Lyon, June 2010: "BARs are one case"',
  ],
  decided: `A write to 0x10-0x27 or 0x30. All ones (the sizing idiom) and writing back what was read are notes; another value is a warning.`,
  wrongWhen: 'A monitor passes on what its guest writes (profile vmm).',
  compliant: 'GET_REGION_INFO tells where a region is and how large.',
  watch: (check) => ({
    on: {
      'config-write': (step) => {
        const first = inBars(step);
        check.judged();
        if (first === undefined) return;
        const { bytes, held, device, offset, event } = step;
        const sizing = bytes.every((byte, i) => byte === 0xff || (i === 0 && byte >= 0xfe));
        const same = bytes.every((byte, i) => byte === held[i]);
        const register = (offset + first) & ~3;
        const what = sizing ? 'the sizing idiom' : same ? 'what it held' : 'another value';
        check.report({
          key: `${hex(register)} ${what}`,
          device,
          severity: sizing || same ? 'note' : 'warning',
          message: `${what} was written to the BAR at config+${hex(register)}: it reaches VFIO's copy only`,
          evidence: [{ event: event.number, note: what }],
        });
      },
    },
  }),
};
