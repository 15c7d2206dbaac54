// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../device-life.js';
import type { Moment } from '../moment.js';

/** What a driver is busy with, in the order in which it mostly goes. */
export const PHASES = ['open', 'reset', 'config', 'BAR init', 'queues', 'steady', 'teardown'] as const;
export type Phase = (typeof PHASES)[number];

/** A stretch of one device's life; the next one of the same device begins where it ends, or later. */
export interface PhaseSpan {
  readonly phase: Phase;
  readonly device: DeviceLife;
  readonly start: Moment;
  readonly end: Moment;
  /** Of the device, of what it was opened through and of its address space; not one for each event of the recording. */
  readonly events: number;
}
