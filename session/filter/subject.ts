// SPDX-License-Identifier: Apache-2.0
import type { Description } from '../describe/description.js';

/** What a filter asks of an event. Getters do their work when asked: most filters ask for little. */
export interface FilterSubject {
  readonly number: number;
  readonly kind: number;
  /** ns since the start of the recording, of the call's entry. */
  readonly time: number;
  readonly duration: number;
  readonly fd: number;
  readonly errno: number;
  /** Thread.id */
  readonly thread: number;
  readonly object: number;
  readonly value: bigint;
  readonly result: bigint;
  /** As shown: within the region, where there is one. */
  readonly offset: bigint;
  /** The ioctl's name, or the kind's. */
  readonly op: string;
  readonly description: Description;
  /** `device0` and, with the device's address, `device0 0000:00:04.0`. */
  readonly objectName: string;
  readonly objectLabel: string;
  readonly tid: number;
  readonly threadName: string;
  readonly pid: number;
  /** As named, and as module and offset. */
  readonly site: readonly string[];
}
