// SPDX-License-Identifier: Apache-2.0
import { durationText } from '../../../session/describe/time.js';
import type { DeviceLife } from '../../../session/story/device-life.js';
import type { Moment } from '../../../session/story/moment.js';
import type { Rule } from '../../check/rule.js';
import { onGone } from '../gone.js';
import { REQ } from './requests.js';

const PATIENCE_NS = 5e9;

interface Asked extends Moment {
  latest: number;
  times: number;
}

export const REQ_002: Rule = {
  id: 'REQ-002',
  title: 'A device that is asked for is given back in good time',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note', lyon2010: 'off' },
  kernel: 'allows',
  basis: 'proven',
  why: `The kernel waits, and asks again about every ten seconds, for as long as it takes: an unbind, a hot-unplug or a shutdown of the machine stands still meanwhile.`,
  sources: ['vfio_main.c: vfio_unregister_group_dev', 'vfio_pci_core.c: vfio_pci_core_request'],
  decided: `REQ was signalled (its eventfd was read, or a wait returned with it), and five seconds later the device was still open.`,
  wrongWhen: 'A monitor asks its guest to let the device go, which may take its time: a note there.',
  compliant: 'Stop the device, unmap its BARs, close its descriptors.',
  watch: (check) => {
    const asked = new Map<DeviceLife, Asked>();
    const settle = (device: DeviceLife, now: Moment, how: string): void => {
      const since = asked.get(device);
      asked.delete(device);
      if (since === undefined || now.time - since.time <= PATIENCE_NS) return;
      check.report({
        key: 'not given back',
        device,
        message: `the device was asked for${since.times > 1 ? ` ${since.times} times` : ''}, and ${how} ${durationText(now.time - since.time)} later`,
        evidence: [
          { event: since.event, note: 'REQ' },
          ...(since.latest === since.event ? [] : [{ event: since.latest, note: 'REQ again' }]),
          { event: now.event, note: how },
        ],
      });
    };
    return {
      eventfd: ({ route }) => {
        if (route === undefined || route.index !== REQ || route.role !== 'trigger') return undefined;
        const device = check.story.devices.get(route.device);
        if (device === undefined) return undefined;
        return (row, action) => {
          if (action === 'write' || device.closed !== undefined) return;
          check.judged();
          const since = asked.get(device);
          if (since === undefined) {
            asked.set(device, {
              event: row.event,
              time: row.time,
              latest: row.event,
              times: action === 'read' ? 1 : 0,
            });
            return;
          }
          if (action !== 'read') return;
          since.times++;
          if (since.times > 1) since.latest = row.event;
        };
      },
      on: onGone(check.story, (device, now) => settle(device, now, 'it was closed')),
      end: () => {
        for (const device of [...asked.keys()]) settle(device, check.story.latest, 'it was open still');
      },
    };
  },
};
