// SPDX-License-Identifier: Apache-2.0
import { ROM_REGION, regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const BAR_007: Rule = {
  id: 'BAR-007',
  title: 'The ROM is only read, and regions without a size are not used',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'refuses',
  basis: 'proven',
  why: 'The ROM can neither be written nor mapped, and a region of size 0 is not there: the kernel answers EINVAL.',
  sources: [
    'vfio_pci_core.c: vfio_pci_rw (case VFIO_PCI_ROM_REGION_INDEX)',
    'vfio_pci_core.c: vfio_pci_core_mmap',
  ],
  decided:
    'A write or mmap of the ROM region, or any access to a region whose GET_REGION_INFO answered size 0.',
  wrongWhen: 'A program that asks on purpose what happens (profile test).',
  compliant: 'Read the ROM with pread; skip regions of size 0.',
  watch: (check) => {
    const look = (device: DeviceLife, region: number, event: number, what: string): void => {
      const info = device.state.regions.get(region);
      const isRom = region === ROM_REGION;
      if (!isRom && info?.size !== 0n) return;
      check.judged();
      const name = regionName(region);
      const why =
        info?.size === 0n ? `${name} has no size` : what === 'read' ? undefined : `${name} is read-only`;
      if (why === undefined) return;
      check.report({
        key: `${what} ${name}`,
        device,
        message: `a ${what} of ${name}, but ${why}`,
        evidence: [{ event, note: why }],
      });
    };
    return {
      on: {
        map: ({ device, region, event }) => look(device, region, event.number, 'mapping'),
        'region-read': ({ device, region, event }) => look(device, region, event.number, 'read'),
        'region-write': ({ device, region, event }) => look(device, region, event.number, 'write'),
      },
    };
  },
};
