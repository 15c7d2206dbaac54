// SPDX-License-Identifier: Apache-2.0
import { covered } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const NO_DEVICE = 0xffff;

const hex4 = (value: number): string => value.toString(16).padStart(4, '0');

export const CFG_002: Rule = {
  id: 'CFG-002',
  title: 'Vendor and device id are read, never written, and are those that sysfs has',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'alters',
  basis: 'proven',
  why: `The ids are virtual: a virtual function has none of its own in its registers, so VFIO puts them where drivers look. Writes are dropped.
An id that differs from sysfs means that the kernel, or who plays its part, shows another device than the one that was opened.`,
  sources: [
    'vfio_pci_config.c: init_pci_cap_basic_perm',
    'vfio_config_init: vconfig of a virtual function',
    'Lyon, June 2010: "The PCI vendor and device ID are virtual"',
  ],
  decided:
    'A write to 0x00-0x03 is a warning; a read whose id is not the one that was found in sysfs when the device was opened is an error.',
  wrongWhen: 'All ones are read: the device is gone, or the read came too early after a reset.',
  compliant: 'Read the ids to choose the driver.',
  watch: (check) => ({
    on: {
      'config-write': ({ offset, bytes, device, event }) => {
        check.judged();
        if (bytes.length === 0 || offset >= 4) return;
        check.report({
          key: 'write',
          device,
          message: 'a write to the vendor or device id, which is dropped',
          evidence: [{ event: event.number, note: 'the write' }],
        });
      },
      'config-read': (step) => {
        const { device, ok, event } = step;
        const { vendor = 0, device: id = 0 } = device.definition ?? {};
        if (!ok || vendor === 0) return;
        for (const [at, name, expected] of [
          [0, 'vendor', vendor],
          [2, 'device', id],
        ] as const) {
          const read = covered(step, at, 2, expected);
          if (read === undefined) continue;
          check.judged();
          if (read === expected || read === NO_DEVICE) continue;
          check.report({
            key: name,
            device,
            severity: 'error',
            message: `the ${name} id reads ${hex4(read)}, and sysfs has ${hex4(expected)}`,
            evidence: [{ event: event.number, note: 'the read' }],
          });
        }
      },
    },
  }),
};
