// SPDX-License-Identifier: Apache-2.0
import type { Trace } from '../traces/reader.js';

/** How many events there are, by the numbers that they have. */
export function countEvents(trace: Trace): number {
  const last = [...trace.chunks()].at(-1);
  return last === undefined ? 0 : last.firstEvent + last.events;
}

/** `events 0 to 80` */
export function eventsText(count: number): string {
  return count === 0 ? 'no events' : `events 0 to ${count - 1}`;
}
