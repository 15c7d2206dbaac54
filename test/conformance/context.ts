// SPDX-License-Identifier: Apache-2.0
import type { SimulatedKernel } from '../../replayer/kernel/kernel.js';
import type { LocalDriver } from '../../replayer/kernel/local-driver.js';
import type { PciDevice } from '../../replayer/kernel/pci/pci-device.js';

export interface Region {
  readonly size: number;
  readonly offset: bigint;
  readonly flags: number;
}

/** An opened device and what was learned of it. */
export interface Probe {
  readonly kernel: SimulatedKernel;
  readonly driver: LocalDriver;
  readonly container: number;
  readonly device: number;
  readonly regions: readonly Region[];
  readonly irqCounts: readonly number[];
  /** The host's view, which on a real machine is sysfs. */
  readonly physical: PciDevice;
  /** The first memory BAR. */
  readonly bar: number;
  readonly noiommu: boolean;
  report(action: string, answer: string): void;
}
