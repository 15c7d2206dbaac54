// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../abi/linux/errno.js';
import type { Event } from '../../traces/model.js';

/** `-1 EINVAL` when it failed, else what `shown` makes of it. */
export function resultText(event: Event, shown: (result: bigint) => string = String): string {
  if (event.errno !== 0) return `-1 ${errnoName(event.errno)}`;
  return shown(event.result);
}
