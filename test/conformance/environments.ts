// SPDX-License-Identifier: Apache-2.0
/** Under which kernels the answers were got, and the devices that gave them. */
import type { Device } from '../../replayer/devices/device.js';
import { e1000, e1000e, edu, nvme, virtioNet } from '../../replayer/devices/lab/lab-devices.js';
import type { DeviceSlot } from '../../replayer/kernel/topology.js';
import { parseVariant } from '../../replayer/kernel/variant.js';

/** The first list is in code (probe*.ts, probe/*.c), the others are the files of questions/. */
export type Questions =
  | 'first'
  | 'type1'
  | 'device'
  | 'vectors'
  | 'iommufd'
  | 'cdev'
  | 'hot-reset'
  | 'noiommu'
  | 'remapping'
  /** After all others: the device does not come back. */
  | 'removal';

/** `nvme-port`: behind a root port. */
export type DeviceKind = 'edu' | 'nvme' | 'nvme-port' | 'e1000e' | 'e1000' | 'virtio-net';

/** One device under one kernel. */
export interface Environment {
  /** The directory in answers/. */
  readonly kernel: string;
  readonly variant: ReturnType<typeof parseVariant>;
  readonly device: DeviceKind;
  readonly bdf: string;
  slot(): DeviceSlot;
  readonly questions: readonly Questions[];
}

/** Path below answers/. */
export function answersFile({ kernel, device }: Environment, questions: Questions): string {
  return `${kernel}/${device}${questions === 'first' ? '' : `.${questions}`}.txt`;
}

const BDFS: Readonly<Record<DeviceKind, string>> = {
  edu: '0000:00:0a.0',
  nvme: '0000:00:03.0',
  'nvme-port': '0000:01:00.0',
  e1000e: '0000:00:04.0',
  e1000: '0000:00:06.0',
  'virtio-net': '0000:00:08.0',
};

function environment(
  kernel: string,
  variant: string,
  device: DeviceKind,
  group: number,
  make: () => Device,
  questions: readonly Questions[],
): Environment {
  const bdf = BDFS[device];
  return {
    kernel,
    variant: parseVariant(variant),
    device,
    bdf,
    slot: () => ({ device: make(), bdf, group }),
    questions,
  };
}

export const ENVIRONMENTS: readonly Environment[] = [
  environment('intel-6.12', '', 'edu', 7, () => edu(0xfe80_0000), [
    'first',
    'type1',
    'device',
    'iommufd',
    'cdev',
    'removal',
  ]),
  environment('intel-6.12', '', 'nvme', 1, nvme, ['first', 'device', 'vectors', 'cdev']),
  environment('intel-6.12', '', 'nvme-port', 9, nvme, ['hot-reset']),
  environment('intel-6.12', '', 'e1000e', 2, e1000e, ['first', 'device', 'vectors', 'cdev']),
  environment('intel-6.12', '', 'e1000', 4, e1000, ['first', 'device', 'cdev']),
  environment('intel-6.12', '', 'virtio-net', 5, virtioNet, ['first', 'device', 'vectors', 'cdev']),
  environment('noiommu-6.12', 'iommu=none,noiommu=on', 'edu', 5, () => edu(0xfe90_0000), [
    'first',
    'noiommu',
  ]),
  environment('amd-6.12', 'iommu=amd', 'edu', 4, () => edu(0xfe90_0000), [
    'first',
    'type1',
    'device',
    'cdev',
  ]),
  environment('virtio-6.12', 'iommu=virtio', 'edu', 4, () => edu(0xfe90_0000), ['remapping']),
  environment('virtio-unsafe-6.12', 'iommu=virtio,unsafe-interrupts=on', 'edu', 4, () => edu(0xfe90_0000), [
    'remapping',
    'type1',
    'device',
    'cdev',
  ]),
  environment('intel-6.1', 'version=6.1', 'edu', 4, () => edu(0xfe90_0000), [
    'first',
    'type1',
    'device',
    'removal',
  ]),
  environment('intel-6.1', 'version=6.1', 'nvme', 1, nvme, ['first', 'device', 'vectors']),
  environment('intel-6.1', 'version=6.1', 'e1000e', 2, e1000e, ['device', 'vectors']),
];
