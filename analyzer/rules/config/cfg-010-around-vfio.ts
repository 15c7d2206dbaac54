// SPDX-License-Identifier: Apache-2.0
import { SYSFS } from '../../../abi/object-kinds.js';
import type { Rule } from '../../check/rule.js';

const O_ACCMODE = 3;
const O_RDONLY = 0;
const SYSFS_FILE =
  /\/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/(config|resource\d(?:_wc)?|reset|enable|rom|remove|driver_override)$/;

export const CFG_010: Rule = {
  id: 'CFG-010',
  title: 'A device that VFIO has is not touched through sysfs',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `sysfs config, resourceN, reset and enable go to the hardware directly: past VFIO's copy of the BARs, past its protection of MSI, past its
locks. What VFIO believes of the device is wrong afterwards.`,
  sources: [
    'drivers/pci/pci-sysfs.c: pci_write_config, pci_mmap_resource, reset_store',
    'ixy and vroom without VFIO do this',
  ],
  decided:
    'While a device is open through VFIO: its sysfs config, reset, enable, rom, remove, driver_override or resourceN was opened for writing. What is written or mapped there is not recorded.',
  wrongWhen:
    'It was opened for writing, and only read. Scripts that set the device up before it is opened do the same legally; a file that was opened before the device is not seen.',
  compliant: 'Everything through the descriptor of the device; open sysfs files with O_RDONLY.',
  watch: (check) => ({
    on: {
      'config-read': () => check.judged(),
      open: ({ object, ok, event }) => {
        check.judged();
        const { names, definitions } = check.story.session;
        if (!ok || (event.op & O_ACCMODE) === O_RDONLY || names.kind(object) !== SYSFS) return;
        const [, bdf, file = ''] = SYSFS_FILE.exec(definitions.objects.get(object)?.path ?? '') ?? [];
        if (bdf === undefined) return;
        for (const device of check.story.devices.values()) {
          if (device.definition?.bdf !== bdf || device.closed !== undefined) continue;
          check.report({
            key: file,
            device,
            message: `sysfs ${file} was opened for writing while VFIO has the device`,
            evidence: [{ event: event.number, note: 'past VFIO' }],
          });
          return;
        }
      },
    },
  }),
};
