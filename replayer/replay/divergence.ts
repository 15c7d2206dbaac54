// SPDX-License-Identifier: Apache-2.0
/** What was otherwise than recorded. */

export type DivergenceKind =
  /** A register or a byte of configuration space. */
  | 'value'
  /** A field of what an ioctl answered. */
  | 'field'
  /** How many bytes, or which number, a call returned. */
  | 'result'
  | 'errno'
  /** Recorded and never seen, or seen and never recorded. */
  | 'interrupt'
  /** An access that could not be made at all. */
  | 'fault';

export interface Divergence {
  readonly kind: DivergenceKind;
  /** Number of the recorded event. */
  readonly event: number;
  /** `device0` */
  readonly object: string;
  /** `BAR0+0x14 CC`, `VFIO_DEVICE_GET_INFO flags`. */
  readonly what: string;
  readonly recorded: string;
  readonly seen: string;
}

/** What was left out of the replay on purpose, by its reason. */
export interface Omission {
  readonly reason: string;
  readonly count: number;
  /** The first one's event. */
  readonly event: number;
}

export interface ReplayReport {
  readonly target: string;
  /** Recorded events that were looked at. */
  readonly events: number;
  /** Calls and accesses that were made. */
  readonly operations: number;
  /** Values, results and interrupts that were compared. */
  readonly compared: number;
  /** Comparisons that a mask left out. */
  readonly masked: number;
  /** All of them are counted, the first are kept. */
  readonly divergences: readonly Divergence[];
  readonly counts: Readonly<Record<DivergenceKind, number>>;
  readonly omissions: readonly Omission[];
  /** Stopped before the end: by --until, or at the first divergence. */
  readonly stopped: string | undefined;
  readonly durationNs: number;
}
