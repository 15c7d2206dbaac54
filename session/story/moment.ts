// SPDX-License-Identifier: Apache-2.0
import type { Event } from '../../traces/model.js';

/** When something happened, and where one can look it up. */
export interface Moment {
  /** The event's number. */
  readonly event: number;
  /** When it was entered, ns since the start of the recording. */
  readonly time: number;
}

export function momentOf(event: Event): Moment {
  return { event: event.number, time: event.time };
}
