// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_DEVICE_FEATURE (vfio_ioctl_device_feature): low power mode. vfio-pci alone has no migration and no DMA
 * logging; the VF token is that of a physical function, which no device here is.
 */
import { readU32 } from '../../../abi/layout.js';
import {
  DEVICE_FEATURE,
  FEATURE_LOW_POWER_WAKEUP,
  FEATURE_OPERATIONS,
  FEATURES,
} from '../../../abi/vfio/feature.js';
import { EFAULT, EINVAL, ENOTTY } from '../errno.js';
import type { Call } from '../process.js';
import { bytesIn, eventfdOf, structIn } from '../user-memory.js';
import type { Power } from './power.js';

const { GET, SET, PROBE } = FEATURE_OPERATIONS.bits;
const FEATURE_MASK = 0xffff;

/** vfio_check_feature(): 1 when the feature should be done. */
function checkFeature(flags: number, given: number, supported: number, needed: number): number {
  if ((flags & (GET | SET) & ~supported) !== 0) return -EINVAL;
  if ((flags & PROBE) !== 0) return 0;
  if ((flags & (GET | SET)) === 0) return -EINVAL;
  return given < needed ? -EINVAL : 1;
}

export function deviceFeature(call: Call, power: Power): number {
  const header = structIn(call, DEVICE_FEATURE);
  if (header === undefined) return -EFAULT;
  const { argsz, flags } = header;
  if (argsz < DEVICE_FEATURE.size) return -EINVAL;
  if ((flags & ~(FEATURE_MASK | GET | SET | PROBE)) !== 0) return -EINVAL;
  if ((flags & PROBE) === 0 && (flags & SET) !== 0 && (flags & GET) !== 0) return -EINVAL;
  const given = argsz - DEVICE_FEATURE.size;
  const { LOW_POWER_ENTRY, LOW_POWER_ENTRY_WITH_WAKEUP, LOW_POWER_EXIT } = FEATURES.values;
  switch (flags & FEATURE_MASK) {
    case LOW_POWER_ENTRY: {
      const checked = checkFeature(flags, given, SET, 0);
      return checked === 1 ? power.enter(undefined) : checked;
    }
    case LOW_POWER_ENTRY_WITH_WAKEUP: {
      const checked = checkFeature(flags, given, SET, FEATURE_LOW_POWER_WAKEUP.size);
      if (checked !== 1) return checked;
      const at = call.argument + BigInt(DEVICE_FEATURE.size);
      const data = bytesIn(call.memory, at, FEATURE_LOW_POWER_WAKEUP.size);
      if (data === undefined) return -EFAULT;
      const fd = readU32(data, 0) | 0;
      if (fd < 0) return -EINVAL;
      const eventfd = eventfdOf(call.process, fd);
      return typeof eventfd === 'number' ? eventfd : power.enter(eventfd);
    }
    case LOW_POWER_EXIT: {
      const checked = checkFeature(flags, given, SET, 0);
      if (checked === 1) power.exit();
      return checked === 1 ? 0 : checked;
    }
    default:
      return -ENOTTY;
  }
}
