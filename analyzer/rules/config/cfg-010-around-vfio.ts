// SPDX-License-Identifier: Apache-2.0
import { SYSFS } from '../../../abi/object-kinds.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const SYSFS_FILE =
  /\/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/(config|resource\d(?:_wc)?|reset|enable|rom|remove|driver_override)$/;

export const CFG_010: Rule = {
  id: 'CFG-010',
  title: 'A device that VFIO has is not touched through sysfs',
  severity: 'error',
  kernel: 'allows',
  basis: 'proven',
  why: `sysfs config, resourceN, reset and enable go to the hardware directly: past VFIO's copy of the BARs, past its protection of MSI, past its
locks. What VFIO believes of the device is wrong afterwards.`,
  sources: [
    'drivers/pci/pci-sysfs.c: pci_write_config, pci_mmap_resource, reset_store',
    'ixy and vroom without VFIO do this',
  ],
  decided:
    'While a device is open through VFIO: a write to its sysfs config, reset, enable, rom, remove or driver_override, or a mmap of its resourceN.',
  wrongWhen:
    'Scripts that set the device up before it is opened do the same legally. Reading is always fine.',
  compliant: 'Everything through the descriptor of the device.',
  watch: (check) => {
    const owned = (object: number): readonly [DeviceLife, string] | undefined => {
      const { names, definitions } = check.story.session;
      if (names.kind(object) !== SYSFS) return undefined;
      const [, bdf, file = ''] = SYSFS_FILE.exec(definitions.objects.get(object)?.path ?? '') ?? [];
      if (bdf === undefined) return undefined;
      for (const life of check.story.devices.values())
        if (life.definition?.bdf === bdf && life.closed === undefined) return [life, file];
      return undefined;
    };
    const look = (object: number, event: number, what: string): void => {
      const found = owned(object);
      if (found === undefined) return;
      const [device, file] = found;
      check.report({
        key: `${what} ${file}`,
        device,
        message: `a ${what} of sysfs ${file} while VFIO has the device`,
        evidence: [{ event, note: 'past VFIO' }],
      });
    };
    return {
      on: {
        'config-read': () => check.judged(),
        open: () => check.judged(),
        'file-write': ({ object, event, ok }) => {
          if (ok) look(object, event.number, 'write');
        },
        memory: ({ what, event, ok }) => {
          if (ok && what === 'mmap') look(event.object, event.number, 'mmap');
        },
      },
    };
  },
};
