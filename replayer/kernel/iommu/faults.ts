// SPDX-License-Identifier: Apache-2.0
/** DMA that the IOMMU stopped: what a real one writes to the kernel log. */

export type FaultReason =
  /** The device is in no address space: its driver has not attached it. */
  | 'no address space'
  | 'not mapped'
  | 'not readable'
  | 'not writable'
  /** The process that owns the memory is gone, or unmapped it while it was pinned. */
  | 'memory is gone'
  /** The mapping is of another device's registers. */
  | 'device memory'
  /** A write into the interrupt window that no vector was set up for. */
  | 'stray interrupt';

export interface IommuFault {
  readonly bdf: string;
  readonly address: bigint;
  readonly write: boolean;
  readonly reason: FaultReason;
}

const KEPT = 256;

export class FaultLog {
  count = 0;
  /** The first ones; all are counted. */
  readonly first: IommuFault[] = [];

  constructor(readonly report: ((fault: IommuFault) => void) | undefined) {}

  add(fault: IommuFault): void {
    this.count++;
    if (this.first.length < KEPT) this.first.push(fault);
    this.report?.(fault);
  }
}

/** As it would stand in the kernel log. */
export function faultText(fault: IommuFault): string {
  const what = fault.write ? 'DMA write' : 'DMA read';
  return `IOMMU fault: ${fault.bdf} ${what} 0x${fault.address.toString(16)}: ${fault.reason}`;
}
