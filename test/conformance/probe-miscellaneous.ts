// SPDX-License-Identifier: Apache-2.0

import { requestNumber } from '../../abi/ioctls.js';
import { IOEVENTFD } from '../../abi/vfio/device.js';
import { DEVICE_FEATURE, FEATURE_OPERATIONS, FEATURES } from '../../abi/vfio/feature.js';
import { HOT_RESET_INFO } from '../../abi/vfio/hot-reset.js';
import { answer, hex, number } from '../../replayer/kernel/local-driver.js';
import type { Probe, Region } from './context.js';

/** Ioeventfds, resets, features, and ioctls on the wrong kind of file. */
export function probeMiscellaneous({ driver, device, container, regions, bar, report }: Probe): void {
  const { fd } = driver.process.eventfd();
  const offset = (regions[bar] as Region).offset + 0x20n;
  const ioeventfd = (eventfd: number) =>
    answer(
      driver.ioctl(device, 'VFIO_DEVICE_IOEVENTFD', IOEVENTFD, { flags: 4, offset, data: 1n, fd: eventfd })
        .result,
    );
  report('DEVICE_IOEVENTFD BAR+0x20 32-bit', ioeventfd(fd));
  report('DEVICE_IOEVENTFD remove', ioeventfd(-1));
  const tail = new Uint8Array(8 * 32);
  const hot = driver.ioctl(device, 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', HOT_RESET_INFO, {}, { tail });
  report('GET_PCI_HOT_RESET_INFO', `${answer(hot.result)} count=${hot.values.count}`);
  const probe = (feature: number) =>
    answer(
      driver.ioctl(device, 'VFIO_DEVICE_FEATURE', DEVICE_FEATURE, {
        flags: FEATURE_OPERATIONS.bits.PROBE | feature,
      }).result,
    );
  report('DEVICE_FEATURE probe MIGRATION', probe(FEATURES.values.MIGRATION));
  report('DEVICE_FEATURE probe LOW_POWER_ENTRY', probe(FEATURES.values.LOW_POWER_ENTRY));
  report('VFIO_DEVICE_RESET', answer(driver.ioctlValue(device, 'VFIO_DEVICE_RESET')));
  const command = driver.pread(device, (regions[7] as Region).offset + 4n, 2).bytes;
  report('COMMAND after reset', hex(number(command), 4));
  report("unknown ioctl ';' 200 on device", answer(driver.ioctlValue(device, 0x3b00 | 200)));
  const version = requestNumber('VFIO_GET_API_VERSION');
  report('VFIO_GET_API_VERSION on device fd', answer(driver.ioctlValue(device, version)));
  const info = requestNumber('VFIO_DEVICE_GET_INFO');
  report('VFIO_DEVICE_GET_INFO on container', answer(driver.ioctlValue(container, info)));
}
