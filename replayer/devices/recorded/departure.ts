// SPDX-License-Identifier: Apache-2.0
/** Where a driver did something else than was recorded. */

export type DepartureKind =
  /** Another call or access than the recording has here. */
  | 'order'
  /** The same, with another value. */
  | 'value'
  /** A register whose value the recording does not have, here or before. */
  | 'unknown'
  /** The device read something else in the driver's memory. */
  | 'memory'
  /** The memory that the device read or wrote is not there. */
  | 'unmapped'
  /** After the last call or access that was recorded. */
  | 'extra'
  /** The driver ended before it. */
  | 'missing'
  /** The driver waits for something, and does not what comes next. */
  | 'waits';

/** Where the driver is, by its place in a file. */
export interface DriverSite {
  readonly path: string;
  readonly offset: bigint;
  /** It is where a call returns to; otherwise the instruction of a load or store. */
  readonly isCall: boolean;
}

export interface Departure {
  readonly kind: DepartureKind;
  readonly bdf: string;
  /** Number of the recorded event that should have come; undefined after the last. */
  readonly event: number | undefined;
  /** What came, or what is otherwise. */
  readonly got: string;
  /** Where the driver did it, as far as that is known. */
  readonly site?: DriverSite;
}

export interface PlayReport {
  readonly trace: string;
  readonly bdf: string;
  /** Driver's writes, and reads, that were as recorded. */
  readonly writes: number;
  readonly reads: number;
  /** Bytes of DMA. */
  readonly dmaBytes: number;
  readonly interrupts: number;
  /** The first of them. */
  readonly departures: readonly Departure[];
  readonly departed: number;
}
