// SPDX-License-Identifier: Apache-2.0
/** Under which kernels the answers were got, and the devices that gave them. */
import type { Device } from '../../replayer/devices/device.js';
import { e1000, e1000e, edu, nvme, virtioNet } from '../../replayer/devices/lab/lab-devices.js';
import type { DeviceSlot } from '../../replayer/kernel/topology.js';
import { parseVariant } from '../../replayer/kernel/variant.js';

export interface Table {
  /** Path below answers/. */
  readonly file: string;
  readonly variant: ReturnType<typeof parseVariant>;
  slot(): DeviceSlot;
}

const table = (file: string, variant: string, bdf: string, group: number, device: () => Device): Table => ({
  file,
  variant: parseVariant(variant),
  slot: () => ({ device: device(), bdf, group }),
});

export const TABLES: readonly Table[] = [
  table('intel-6.12/edu.txt', '', '0000:00:0a.0', 7, () => edu(0xfe80_0000)),
  table('intel-6.12/nvme.txt', '', '0000:00:03.0', 1, nvme),
  table('intel-6.12/e1000e.txt', '', '0000:00:04.0', 2, e1000e),
  table('intel-6.12/e1000.txt', '', '0000:00:06.0', 4, e1000),
  table('intel-6.12/virtio-net.txt', '', '0000:00:08.0', 5, virtioNet),
  table('noiommu-6.12/edu.txt', 'iommu=none,noiommu=on', '0000:00:0a.0', 5, () => edu(0xfe90_0000)),
  table('amd-6.12/edu.txt', 'iommu=amd', '0000:00:0a.0', 4, () => edu(0xfe90_0000)),
  table('intel-6.1/edu.txt', 'version=6.1', '0000:00:0a.0', 4, () => edu(0xfe90_0000)),
  table('intel-6.1/nvme.txt', 'version=6.1', '0000:00:03.0', 1, nvme),
];
