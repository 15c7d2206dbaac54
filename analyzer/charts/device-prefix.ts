// SPDX-License-Identifier: Apache-2.0
import type { Story } from '../../session/story/story.js';

/** What stands before the name of a device's register or vector: the device, where there are several. */
export function devicePrefix({ devices, session }: Story, device: number): string {
  return devices.size > 1 ? `${session.names.name(device)} ` : '';
}
