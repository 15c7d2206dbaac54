// SPDX-License-Identifier: Apache-2.0

export type InterruptKind = 'intx' | 'msi' | 'msix';

/** Sees what the functions of a machine do on the bus, as it happens. */
export interface BusWatch {
  /** A time on the watch's own clock. */
  now(): bigint;
  /**
   * A function read or wrote memory: the first `done` of the bytes, then the IOMMU stopped it. `since` is a time before
   * anything was read or could be seen.
   */
  dma(bdf: string, iova: bigint, bytes: Uint8Array, done: number, write: boolean, since: bigint): void;
  /** Before the interrupt arrives anywhere. `level` is INTx's; the others have none, and it is true. */
  interrupt(bdf: string, kind: InterruptKind, vector: number, level: boolean): void;
}
