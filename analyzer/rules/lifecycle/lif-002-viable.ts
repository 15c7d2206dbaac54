// SPDX-License-Identifier: Apache-2.0
import { decode } from '../../../abi/layout.js';
import { GROUP_STATUS } from '../../../abi/vfio/group.js';
import type { Rule } from '../../check/rule.js';

const VIABLE = 1;

export const LIF_002: Rule = {
  id: 'LIF-002',
  title: 'A group is put into a container only when it is viable',
  severity: 'warning',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `A group is viable when every device in it belongs to VFIO, or to no driver: otherwise another driver's device could reach the same memory. The flag says so before SET_CONTAINER
fails, and a program can say why.`,
  sources: [
    'linux/vfio.h: VFIO_GROUP_FLAGS_VIABLE',
    'vfio/group.c: vfio_group_ioctl_get_status (with iommufd the flag may be set too early)',
  ],
  decided: 'SET_CONTAINER of a group whose status was not asked, or lacked the VIABLE flag.',
  wrongWhen: 'With iommufd behind it the flag says little; the kernel checks in any case.',
  compliant: 'GROUP_GET_STATUS, look at VIABLE, then SET_CONTAINER.',
  watch: (check) => {
    const status = new Map<number, { readonly flags: number; readonly event: number }>();
    return {
      ioctl: {
        VFIO_GROUP_GET_STATUS: ({ ok, object, after, event }) => {
          if (ok) status.set(object, { flags: decode(GROUP_STATUS, after).flags ?? 0, event: event.number });
        },
        VFIO_GROUP_SET_CONTAINER: ({ object, event }) => {
          check.judged();
          const known = status.get(object);
          if (known !== undefined && (known.flags & VIABLE) !== 0) return;
          const why = known === undefined ? 'its status was not asked' : 'it was not viable';
          check.report({
            key: why,
            object,
            message: `a group was put into a container although ${why}`,
            evidence: [
              { event: event.number, note: why },
              ...(known === undefined ? [] : [{ event: known.event, note: 'the status lacks VIABLE' }]),
            ],
          });
        },
      },
    };
  },
};
