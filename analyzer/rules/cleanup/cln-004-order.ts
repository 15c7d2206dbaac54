// SPDX-License-Identifier: Apache-2.0
import { CONTAINER, GROUP, NOIOMMU_GROUP } from '../../../abi/object-kinds.js';
import type { Rule } from '../../check/rule.js';

const EBUSY = 16;

export const CLN_004: Rule = {
  id: 'CLN-004',
  title: 'Closing goes the way back: device, then group, then container',
  severity: 'note',
  profiles: { lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `UNSET_CONTAINER is refused with EBUSY while a device of the group is open. Closing the descriptors in another order works, since each
holds what it needs, but what is released when is no longer what the code says.`,
  sources: ['vfio/group.c: vfio_group_ioctl_unset_container', 'Documentation/driver-api/vfio.rst'],
  decided:
    'UNSET_CONTAINER failed with EBUSY; or a group or container lost its last descriptor while a device behind it was open.',
  wrongWhen: 'A process that ends closes everything at once and is not judged.',
  compliant: 'Close the device, UNSET_CONTAINER or close the group, close the container.',
  watch: (check) => {
    const openBehind = (object: number): number | undefined => {
      const { spaces, devices } = check.story;
      for (const life of devices.values()) {
        if (life.closed !== undefined) continue;
        const group = spaces.group(life.id);
        if (group === object || (group !== 0 && spaces.container(group) === object)) return life.id;
      }
      return undefined;
    };
    return {
      ioctl: {
        VFIO_GROUP_UNSET_CONTAINER: ({ event, object }) => {
          check.judged();
          if (event.errno !== EBUSY) return;
          check.report({
            key: 'UNSET_CONTAINER',
            object,
            message: 'UNSET_CONTAINER was refused: a device of the group was still open',
            evidence: [{ event: event.number, note: 'EBUSY' }],
          });
        },
      },
      on: {
        close: ({ gone, event }) => {
          const { names } = check.story.session;
          for (const object of gone) {
            const kind = names.kind(object);
            if (kind !== CONTAINER && kind !== GROUP && kind !== NOIOMMU_GROUP) continue;
            check.judged();
            const device = openBehind(object);
            if (device === undefined) continue;
            const what = kind === CONTAINER ? 'container' : 'group';
            check.report({
              key: what,
              object,
              message: `the ${what} was closed before ${names.label(device)}`,
              evidence: [{ event: event.number, note: 'a device behind it was open' }],
            });
          }
        },
      },
    };
  },
};
