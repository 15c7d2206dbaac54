// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { countText, hex } from '../../../abi/text.js';
import type { ConfigStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const EINVAL = 22;
/** Each device has so many; what asks for the rest asks too much of some. */
const CONVENTIONAL_BYTES = 256;

export const CFG_005: Rule = {
  id: 'CFG-005',
  title: 'Configuration space is accessed by 1, 2 or 4 aligned bytes within its size',
  severity: 'error',
  profiles: { test: 'note', vmm: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `VFIO chops other lengths into such pieces, which is not atomic and may do things in between that the driver did not mean; past the end of
the space it fails.`,
  sources: ['vfio_pci_config.c: vfio_pci_config_rw, vfio_config_do_rw'],
  decided:
    'An access that failed is an error. One of another length, or that is not aligned to its length, is a note. EINVAL for a register among the first 256 bytes says that the device is not bound, or in 2010 in no domain: LIF-003 and LYON-001 speak of that.',
  wrongWhen: 'A dump of the whole space is a note: it is harmless.',
  compliant: 'One register at a time, with its own width.',
  watch: (check) => {
    const look = ({ type, device, offset, length, ok, event }: ConfigStep): void => {
      check.judged();
      const isRegister = (length === 1 || length === 2 || length === 4) && offset % length === 0;
      if (event.errno === EINVAL && isRegister && offset < CONVENTIONAL_BYTES) return;
      const what = type === 'config-read' ? 'read' : 'write';
      if (!ok) {
        check.report({
          key: `${what} ${errnoName(event.errno)}`,
          device,
          message: `a ${what} of ${countText(length, 'byte')} at config+${hex(offset)} failed: ${errnoName(event.errno)}`,
          evidence: [{ event: event.number, note: 'it failed' }],
        });
        return;
      }
      if (isRegister) return;
      check.report({
        key: `${what} ${length}`,
        device,
        severity: 'note',
        message: `a ${what} of ${countText(length, 'byte')} at config+${hex(offset)} is done in pieces`,
        evidence: [{ event: event.number, note: 'not one register' }],
      });
    };
    return { on: { 'config-read': look, 'config-write': look } };
  },
};
