// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

export const DMA_019: Rule = {
  id: 'DMA-019',
  title: 'A device is quiet when it is detached from its address space',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  why: `Detached, a device is in a domain that translates nothing: each access of one that still runs is an IOMMU fault, and the command that it was for never ends.`,
  sources: [
    'vfio/device_cdev.c: vfio_df_ioctl_detach_pt',
    'iommufd/device.c: iommufd_device_detach (blocking domain)',
  ],
  decided: `VFIO_DEVICE_DETACH_IOMMUFD_PT while bus mastering was on, and the controller was known to run or its memory was stored to afterwards while it was detached.`,
  wrongWhen: `A controller of a class that is not known, that was stopped by a register of its own: it is only reported when it is stored to further. Attaching another page table without detaching is atomic: silent.`,
  compliant: 'Stop the controller or clear bus mastering, detach, attach, start again.',
  watch: (check) => {
    const detached = new Map<DeviceLife, number>();
    const tell = (device: DeviceLife, event: number, stored?: number): void => {
      detached.delete(device);
      check.report({
        key: 'detached',
        device,
        message: `the device was detached from its address space ${stored === undefined ? 'while its controller was running' : 'with bus mastering on, and used further'}`,
        evidence: [
          ...([{ event, note: 'detached' }] as const),
          ...(stored === undefined ? [] : [{ event: stored, note: 'a store' }]),
        ],
      });
    };
    return {
      ioctl: {
        VFIO_DEVICE_DETACH_IOMMUFD_PT: ({ device, ok, event }) => {
          if (device === undefined || !ok) return;
          check.judged();
          if (!device.busMaster || device.controllerEnabled === false) return;
          if (device.controllerEnabled === true) tell(device, event.number);
          else detached.set(device, event.number);
        },
        VFIO_DEVICE_ATTACH_IOMMUFD_PT: ({ device, ok }) => {
          if (device !== undefined && ok) detached.delete(device);
        },
        VFIO_DEVICE_RESET: ({ device, ok }) => {
          if (device !== undefined && ok) detached.delete(device);
        },
      },
      access: ({ device, direction }) => {
        if (direction === 'load' || !detached.has(device)) return undefined;
        return (row) => {
          const event = detached.get(device);
          if (event !== undefined && device.busMaster) tell(device, event, row.event);
        };
      },
    };
  },
};
