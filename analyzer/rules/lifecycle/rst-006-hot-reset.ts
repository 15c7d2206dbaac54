// SPDX-License-Identifier: Apache-2.0

import { decode } from '../../../abi/layout.js';
import { errnoName } from '../../../abi/linux/errno.js';
import { countText } from '../../../abi/text.js';
import { HOT_RESET } from '../../../abi/vfio/hot-reset.js';
import type { Rule } from '../../check/rule.js';

const ENOSPC = 28;

export const RST_006: Rule = {
  id: 'RST-006',
  title: 'A hot reset is asked about first, and done by who owns every device that it reaches',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A hot reset takes the whole slot or bus. The kernel wants the groups of all devices on it, or their iommufd; GET_PCI_HOT_RESET_INFO says which these are, and the
devices beside this one must be quiet, too.`,
  sources: ['vfio_pci_core.c: vfio_pci_ioctl_pci_hot_reset, vfio_pci_dev_set_hot_reset'],
  decided:
    'VFIO_DEVICE_PCI_HOT_RESET that failed, or without a GET_PCI_HOT_RESET_INFO of the same device before it.',
  wrongWhen:
    'The program knows its machine by heart. ENOSPC from the first INFO is how one asks for the size.',
  compliant: 'INFO with argsz 12, again with room for what it says, then the reset with all the groups.',
  watch: (check) => {
    const asked = new Map<number, number>();
    return {
      ioctl: {
        VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: ({ object, event, ok }) => {
          if (ok || event.errno === ENOSPC) asked.set(object, event.number);
        },
        VFIO_DEVICE_PCI_HOT_RESET: ({ object, device, before, event, ok }) => {
          check.judged();
          const info = asked.get(object);
          const { count = 0 } = decode(HOT_RESET, before);
          if (ok && info !== undefined) return;
          const why = ok
            ? 'it was never asked which devices it reaches'
            : `it failed: ${errnoName(event.errno)}`;
          check.report({
            key: ok ? 'not asked' : errnoName(event.errno),
            ...(device !== undefined && { device }),
            ...(ok ? { severity: 'warning' as const } : {}),
            message: `a hot reset with ${countText(count, 'group')}: ${why}`,
            evidence: [
              { event: event.number, note: why },
              ...(info === undefined ? [] : [{ event: info, note: 'which devices it reaches' }]),
            ],
          });
        },
      },
    };
  },
};
