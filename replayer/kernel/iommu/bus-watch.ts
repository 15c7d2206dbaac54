// SPDX-License-Identifier: Apache-2.0

export type InterruptKind = 'intx' | 'msi' | 'msix';

/** Sees what the functions of a machine do on the bus, as it happens. */
export interface BusWatch {
  /** A time on the watch's own clock. */
  now(): bigint;
  /**
   * A function read memory, or is about to write it: the first `done` of the bytes, then the IOMMU stops it. `since` is a
   * time before that.
   */
  dma(bdf: string, iova: bigint, bytes: Uint8Array, done: number, write: boolean, since: bigint): void;
  /** Before the interrupt arrives anywhere. `level` is INTx's; the others have none, and it is true. */
  interrupt(bdf: string, kind: InterruptKind, vector: number, level: boolean): void;
}
