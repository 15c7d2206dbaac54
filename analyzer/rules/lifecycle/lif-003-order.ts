// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { CDEV } from '../../../abi/object-kinds.js';
import type { ConfigStep, IoctlStep, RegionStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const EINVAL = 22;
const ENODEV = 19;
const ENOTTY = 25;

export const LIF_003: Rule = {
  id: 'LIF-003',
  title: 'Opening goes in order: container, group, SET_IOMMU, device; or bind, attach, access',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A device of a group can be opened when its container has an IOMMU; a character device answers when it is bound to an iommufd. In another order the kernel refuses,
and who does not look goes on with -1 for a descriptor.`,
  sources: [
    'vfio/group.c: vfio_df_group_open (EINVAL without an IOMMU)',
    'vfio/device_cdev.c: access is blocked until BIND_IOMMUFD',
    'Documentation/driver-api/vfio.rst',
  ],
  decided: `GET_DEVICE_FD that failed while the group was in no container, or that had no SET_IOMMU; SET_IOMMU that failed while no group was in the container; any call or
access of a character device that failed before BIND_IOMMUFD.`,
  wrongWhen:
    'The program tries one interface to find out whether to use the other. A failure that was made good later is a note.',
  compliant: 'The order of Documentation/driver-api/vfio.rst.',
  watch: (check) => {
    interface Failure {
      readonly event: number;
      readonly message: string;
      readonly key: string;
    }
    const failures = new Map<string, Failure>();
    const isOrder = (errno: number): boolean => errno === EINVAL || errno === ENODEV || errno === ENOTTY;
    const fail = (key: string, event: number, message: string): void => {
      if (!failures.has(key)) failures.set(key, { event, message, key });
    };
    const madeGood = (key: string): void => {
      const failure = failures.get(key);
      if (failure === undefined) return;
      failures.delete(key);
      check.report({
        key: failure.key,
        severity: 'note',
        message: `${failure.message}; it worked later`,
        evidence: [{ event: failure.event, note: 'too early' }],
      });
    };
    const blocked = (
      {
        object,
        event,
        ok,
      }: { readonly object: number; readonly event: IoctlStep['event']; readonly ok: boolean },
      what: string,
    ): void => {
      if (
        ok ||
        check.story.session.names.kind(object) !== CDEV ||
        check.story.spaces.iommufd(object) !== undefined
      )
        return;
      if (isOrder(event.errno))
        fail(
          'BIND_IOMMUFD',
          event.number,
          `${what} before BIND_IOMMUFD failed with ${errnoName(event.errno)}`,
        );
    };
    const access = ({ device, event, ok }: ConfigStep | RegionStep): void =>
      blocked({ object: device.id, event, ok }, 'an access');
    return {
      ioctl: {
        VFIO_GROUP_GET_DEVICE_FD: ({ object, event, ok }) => {
          check.judged();
          if (ok) {
            madeGood('GET_DEVICE_FD');
            return;
          }
          const container = check.story.spaces.container(object);
          if (!isOrder(event.errno)) return;
          if (container === undefined)
            fail('GET_DEVICE_FD', event.number, 'GET_DEVICE_FD failed: the group was in no container');
          else if (check.story.spaces.iommuType(container) === undefined)
            fail(
              'GET_DEVICE_FD',
              event.number,
              'GET_DEVICE_FD failed: the container had no IOMMU (SET_IOMMU)',
            );
        },
        VFIO_SET_IOMMU: ({ object, event, ok }) => {
          check.judged();
          if (ok) madeGood('SET_IOMMU');
          else if (check.story.spaces.groups(object).length === 0 && isOrder(event.errno))
            fail('SET_IOMMU', event.number, 'SET_IOMMU failed: no group was in the container');
        },
        VFIO_DEVICE_BIND_IOMMUFD: ({ ok }) => {
          check.judged();
          if (ok) madeGood('BIND_IOMMUFD');
        },
      },
      on: {
        ioctl: (step) => {
          if (step.device !== undefined && step.name !== 'VFIO_DEVICE_BIND_IOMMUFD') blocked(step, step.name);
        },
        'config-read': access,
        'config-write': access,
        'region-read': access,
        'region-write': access,
      },
      end: () => {
        for (const { key, event, message } of failures.values())
          check.report({ key, message, evidence: [{ event, note: 'too early' }] });
      },
    };
  },
};
