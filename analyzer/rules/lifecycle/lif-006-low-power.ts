// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { hex } from '../../../abi/text.js';
import { DEVICE_FEATURE } from '../../../abi/vfio/feature.js';
import { regionName } from '../../../abi/vfio/regions.js';
import type { Rule } from '../../check/rule.js';

const ENTRY = 3;
const ENTRY_WITH_WAKEUP = 4;
const SET = 1 << 17;

export const LIF_006: Rule = {
  id: 'LIF-006',
  title: 'No load or store between LOW_POWER_ENTRY and LOW_POWER_EXIT',
  severity: 'error',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: 'After LOW_POWER_ENTRY the kernel may put the device to sleep at any time: its mappings are taken away, and the next access to them is a SIGBUS.',
  sources: [
    'linux/vfio.h: VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY',
    'vfio_pci_core.c: vfio_pci_mmap_fault, pm_runtime_engaged',
  ],
  decided:
    'A load or store after LOW_POWER_ENTRY that succeeded and before LOW_POWER_EXIT; or a second ENTRY that failed.',
  wrongWhen:
    'A wake-up eventfd that was signalled ends the sleep: from then on accesses are not reported. Calls and read() wake the device legally.',
  compliant: 'LOW_POWER_EXIT first, or wait for the wake-up.',
  watch: (check) => {
    const awake = new Set<number>();
    return {
      ioctl: {
        VFIO_DEVICE_FEATURE: ({ device, before, event, ok }) => {
          const { flags = 0 } = decode(DEVICE_FEATURE, before);
          const feature = flags & 0xffff;
          if (
            device === undefined ||
            (flags & SET) === 0 ||
            (feature !== ENTRY && feature !== ENTRY_WITH_WAKEUP)
          )
            return;
          check.judged();
          awake.delete(device.id);
          if (ok || device.lowPower === undefined) return;
          check.report({
            key: 'ENTRY twice',
            device,
            message: 'LOW_POWER_ENTRY while the device was in it',
            evidence: [
              { event: event.number, note: 'refused' },
              { event: device.lowPower.event, note: 'the first' },
            ],
          });
        },
      },
      access: ({ device, region, offset, direction }) => {
        const { lowPower } = device;
        if (lowPower === undefined) return undefined;
        check.judged();
        return (row) => {
          if (awake.has(device.id)) return;
          check.report({
            key: `${direction} ${regionName(region)}`,
            device,
            message: `a ${direction} at ${regionName(region)}+${hex(offset)} while the device may be asleep`,
            evidence: [
              { event: row.event, note: 'the access' },
              { event: lowPower.event, note: 'LOW_POWER_ENTRY' },
            ],
          });
        };
      },
      eventfd: ({ route }) => {
        // Which eventfd wakes is not an interrupt of the device: any other one that is read may be it.
        if (route !== undefined) return undefined;
        return (row, action) => {
          if (action !== 'read' || row.errno !== 0) return;
          for (const device of check.story.devices.values())
            if (device.lowPower !== undefined) awake.add(device.id);
        };
      },
    };
  },
};
