// SPDX-License-Identifier: Apache-2.0
/** ioctls of a group (/dev/vfio/N; linux/vfio.h). */
import { ioctl, part } from '../ioctl.js';
import { s32, struct, u32 } from '../layout.js';
import { flagTable } from '../names.js';
import { textOf } from '../text.js';

export const GROUP_FLAGS = flagTable('VFIO_GROUP_FLAGS_', { VIABLE: 1, CONTAINER_SET: 2 });

export const GROUP_STATUS = struct('vfio_group_status', 8, {
  argsz: u32(0),
  flags: u32(4, { flags: GROUP_FLAGS, direction: 'out' }),
});

/** VFIO_GROUP_SET_CONTAINER takes a pointer to a descriptor: a container's, or an iommufd's. */
export const SET_CONTAINER = struct('int', 4, { fd: s32(0) });

export const GROUP_IOCTLS = [
  ioctl('VFIO_GROUP_GET_STATUS', 0x3b67, GROUP_STATUS),
  ioctl('VFIO_GROUP_SET_CONTAINER', 0x3b68, SET_CONTAINER),
  ioctl('VFIO_GROUP_UNSET_CONTAINER', 0x3b69),
  ioctl(
    'VFIO_GROUP_GET_DEVICE_FD',
    0x3b6a,
    { kind: 'string', name: 'name' },
    {
      returns: 'fd',
      more: (call) => {
        if (call.before === undefined) return [];
        // "BDF vf_token=UUID": the recorder blanks the token, which is a secret.
        const name = textOf(call.before);
        return [part('name', name, name)];
      },
    },
  ),
] as const;
