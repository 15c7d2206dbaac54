// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Rule } from '../../check/rule.js';

const EINVAL = 22;

export const LYON_001: Rule = {
  id: 'LYON-001',
  title: 'VFIO_DOMAIN_SET comes before anything but reading config space (2010)',
  severity: 'error',
  profiles: { driver: 'off', vmm: 'off', test: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `Before the device is in an IOMMU domain it could reach any memory: the VFIO of 2010 lets a driver read config space, and answers EINVAL to every write, access to a BAR, mapping of a BAR and DMA
mapping. A driver that does not look believes that it has set bus mastering, or goes on with MAP_FAILED.`,
  sources: [
    'Lyon 2010, vfio_main.c: vfio_read, vfio_write, vfio_mmap (no udomain: EINVAL)',
    'Lyon 2010, vfio_dma.c: vfio_dma_map_iova',
    'Lyon 2010, Documentation/vfio.txt: "requires an explicit assignment of the device to an IOMMU domain"',
  ],
  decided: `A write to config space, a read or write of a BAR, an mmap or VFIO_DMA_MAP_IOVA on /dev/vfioN that failed with EINVAL while no VFIO_DOMAIN_SET was in force.`,
  wrongWhen: 'The domain was set through a descriptor that the recorder did not see.',
  compliant: 'open, VFIO_DOMAIN_SET with an open /dev/uiommu, then everything else.',
  watch: (check) => {
    const inDomain = new Set<DeviceLife>();
    const used = (device: DeviceLife | undefined, what: string, event: number, errno: number): void => {
      if (device?.isLyon !== true) return;
      check.judged();
      if (errno !== EINVAL || inDomain.has(device)) return;
      check.report({
        key: what,
        device,
        message: `${what} was refused: the device is in no IOMMU domain`,
        evidence: [{ event, note: 'EINVAL' }],
      });
    };
    return {
      ioctl: {
        VFIO_DOMAIN_SET: ({ device, ok }) => {
          if (device !== undefined && ok) inDomain.add(device);
        },
        VFIO_DOMAIN_UNSET: ({ device, ok }) => {
          if (device !== undefined && ok) inDomain.delete(device);
        },
        VFIO_DMA_MAP_IOVA: ({ device, event }) => {
          used(device, 'VFIO_DMA_MAP_IOVA', event.number, event.errno);
        },
      },
      on: {
        'config-write': ({ device, event }) => {
          used(device, 'a write to config space', event.number, event.errno);
        },
        'region-read': ({ device, event }) => {
          used(device, 'a read of a region', event.number, event.errno);
        },
        'region-write': ({ device, event }) => {
          used(device, 'a write to a region', event.number, event.errno);
        },
        map: ({ device, event }) => {
          used(device, 'mmap', event.number, event.errno);
        },
      },
    };
  },
};
