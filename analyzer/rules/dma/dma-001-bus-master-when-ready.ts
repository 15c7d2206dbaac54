// SPDX-License-Identifier: Apache-2.0
import { CDEV, LYON_DEVICE } from '../../../abi/object-kinds.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Moment } from '../../../session/story/moment.js';
import type { Rule } from '../../check/rule.js';

export const DMA_001: Rule = {
  id: 'DMA-001',
  title: 'Bus mastering is switched on by the driver, when there is memory for the device to reach',
  severity: 'warning',
  profiles: { vmm: 'off', test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `vfio-pci clears bus mastering at open, so that nothing runs before its driver says so. A driver that sets the bit first thing lets a device loose that has
no memory yet: what it still does for whoever had it before ends in IOMMU faults, or, as soon as memory is mapped, in that memory.`,
  sources: [
    'Lyon, June 2010: "pci_set_master … This better be done by userspace when it sees fit. Otherwise device might corrupt userspace memory."',
    'vfio_pci_core.c: vfio_pci_core_enable (pci_clear_master: "Don\'t allow our initial saved state to include busmaster")',
  ],
  decided: `The first write that sets the bit: an error before the device is in an address space; a warning before anything is mapped in it while the device was not reset either
(RST-001); a note before anything is mapped, and a note when a VFIO_DEVICE_RESET came next.`,
  wrongWhen: `ixy, libvfn, QEMU's NVMe driver and the drivers of 2010 all set the bit right after opening, on a device that was just reset: it does nothing then, and it stays a note.`,
  compliant: 'Map, tell the device its addresses, switch bus mastering on.',
  watch: (check) => {
    const mastered = new Map<DeviceLife, Moment>();
    return {
      on: {
        'config-write': ({ device, event }) => {
          if (device.firstMaster?.event !== event.number) return;
          check.judged();
          mastered.set(device, device.firstMaster);
          const space = check.story.spaces.of(device.id);
          const write = { event: event.number, note: 'bus mastering goes on' };
          if (space === undefined) {
            const kind = check.story.session.names.kind(device.id);
            if (device.fromStart && (kind === CDEV || kind === LYON_DEVICE)) {
              check.report({
                key: 'no address space',
                device,
                severity: 'error',
                message:
                  'bus mastering was switched on while the device was in no address space (it was not attached yet)',
                evidence: [write],
              });
            } else check.unknown('which address space the device is in was not recorded');
            return;
          }
          if (check.story.session.dma.space(space.object, space.ioas).size > 0) return;
          if (check.story.spaces.isNoIommu(space)) return;
          const unreset = device.knownState === false;
          check.report({
            key: unreset ? 'nothing mapped, never reset' : 'nothing mapped',
            device,
            severity: unreset ? 'warning' : 'note',
            message: `bus mastering was switched on before anything was mapped for the device${unreset ? ', and nothing had reset it' : ''}`,
            evidence: [
              write,
              ...(unreset && device.info !== undefined
                ? [{ event: device.info.event, note: 'GET_INFO lacks the RESET flag' }]
                : []),
            ],
          });
        },
      },
      ioctl: {
        VFIO_DEVICE_RESET: ({ device, ok, event }) => {
          if (device === undefined || !ok) return;
          const since = mastered.get(device);
          mastered.delete(device);
          // Nothing was done with the device in between.
          if (since === undefined || device.accessEvent > since.event || !device.busMaster) return;
          check.report({
            key: 'before the reset',
            device,
            severity: 'note',
            message: 'bus mastering was switched on, and then the device was reset',
            evidence: [
              { event: since.event, note: 'bus mastering goes on' },
              { event: event.number, note: 'the reset' },
            ],
          });
        },
      },
    };
  },
};
