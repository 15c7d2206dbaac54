// SPDX-License-Identifier: Apache-2.0
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const BAR_001: Rule = {
  id: 'BAR-001',
  title: 'Where a region lies is asked with GET_REGION_INFO, not known by heart',
  severity: 'note',
  profiles: { lyon2010: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `vfio-pci puts region n at n << 40 of the descriptor, and drivers have come to rely on it. It is no part of the interface:
mediated devices and vfio-user servers put their regions elsewhere, and the size and the MMAP flag come from the same answer.`,
  sources: ['linux/vfio.h: struct vfio_region_info, offset', 'vfio_pci_core.h: VFIO_PCI_INDEX_TO_OFFSET'],
  decided:
    'A region is read, written or mapped through the descriptor, and GET_REGION_INFO was not asked for it before.',
  wrongWhen: 'The driver knows that it runs on vfio-pci only; it still does not know the size.',
  compliant:
    'Ask VFIO_DEVICE_GET_REGION_INFO for each region that is used, and use its offset, size and flags.',
  watch: (check) => {
    const look = (device: DeviceLife, region: number, event: number): void => {
      if (!device.fromStart) {
        check.unknown('the device was open before the recording began');
        return;
      }
      check.judged();
      if (device.state.regions.has(region)) return;
      const name = regionName(region);
      check.report({
        key: name,
        device,
        message: `${name} was used without asking where it is and how large`,
        evidence: [{ event, note: 'no GET_REGION_INFO for this region came before' }],
      });
    };
    return {
      on: {
        map: ({ device, region, event }) => look(device, region, event.number),
        'region-read': ({ device, region, event }) => look(device, region, event.number),
        'region-write': ({ device, region, event }) => look(device, region, event.number),
        'config-read': ({ device, event }) => look(device, 7, event.number),
        'config-write': ({ device, event }) => look(device, 7, event.number),
      },
    };
  },
};
