// SPDX-License-Identifier: Apache-2.0
import { regionName } from '../../../abi/vfio/regions.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Moment } from '../../../session/story/moment.js';
import type { Rule } from '../../check/rule.js';

const EBUSY = 16;
const SOON_NS = 1e9;

interface Held {
  readonly closed: Moment;
  readonly region: number;
}

export const CLN_003: Rule = {
  id: 'CLN-003',
  title: 'Mappings of a device go with its descriptor',
  severity: 'warning',
  profiles: { vmm: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `A mapping holds the device's file: until it is gone the device is not released, not reset, and its group stays busy for the next
user, although the driver believes that it has closed it.`,
  sources: [
    'vfio_main.c: vfio_device_fops_release, called when the last reference goes; a VMA holds one (vm_file)',
  ],
  decided: `The last descriptor of a device was closed while a region of it was mapped, and then a call failed with EBUSY, or the
process lived on for more than a second without unmapping it.`,
  wrongWhen: 'Unmapping right after closing is fine: only the order is unusual (DPDK does so).',
  compliant: 'Stop the threads that use the registers, munmap, close.',
  watch: (check) => {
    const held = new Map<DeviceLife, Held>();
    const tell = (device: DeviceLife, { closed, region }: Held, event: number, note: string): void => {
      held.delete(device);
      const name = regionName(region);
      check.report({
        key: name,
        device,
        message: `the device was closed and stayed open: ${name} was still mapped`,
        evidence: [
          { event: closed.event, note: `its last descriptor was closed, ${name} was not unmapped` },
          { event, note },
        ],
      });
    };
    const mappingOf = (process: number, object: number) =>
      check.story.session.mappings
        .within(process, 0n, 1n << 64n)
        .find((mapping) => mapping.object === object);
    return {
      on: {
        close: ({ gone, event, process }) => {
          for (const object of gone) {
            const device = check.story.devices.get(object);
            if (device === undefined) continue;
            check.judged();
            const mapping = mappingOf(process, object);
            if (mapping === undefined) continue;
            held.set(device, { closed: { event: event.number, time: event.time }, region: mapping.region });
          }
        },
        memory: ({ process, regions }) => {
          for (const { object } of regions) {
            const device = check.story.devices.get(object);
            if (device !== undefined && held.has(device) && mappingOf(process, object) === undefined)
              held.delete(device);
          }
        },
        open: ({ event }) => {
          if (event.errno === EBUSY)
            for (const [device, since] of held)
              tell(device, since, event.number, 'an open that was refused: EBUSY');
        },
        ioctl: ({ event, name }) => {
          if (event.errno === EBUSY)
            for (const [device, since] of held)
              tell(device, since, event.number, `${name} was refused: EBUSY`);
        },
        exit: ({ event }) => {
          for (const [device, since] of held) {
            if (event.time - since.closed.time > SOON_NS)
              tell(device, since, event.number, 'the process ended more than a second later');
            else held.delete(device);
          }
        },
      },
      end: () => {
        const { latest } = check.story;
        for (const [device, since] of held)
          if (latest.time - since.closed.time > SOON_NS)
            tell(device, since, latest.event, 'the recording ended more than a second later');
      },
    };
  },
};
