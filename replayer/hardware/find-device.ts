// SPDX-License-Identifier: Apache-2.0
/** A PCI device of this machine, as sysfs and /dev tell of it. */

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../../abi/user-error.js';
import type { DeviceIds } from '../replay/same-device.js';

const DEVICES = '/sys/bus/pci/devices';
const BDF = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i;

export interface HardwareDevice extends DeviceIds {
  /** `0000:01:00.0` */
  readonly bdf: string;
  /** Undefined where there is none. */
  readonly groupPath: string | undefined;
  readonly cdevPath: string | undefined;
  /** Nothing stands between the device and the machine's memory. */
  readonly noiommu: boolean;
  /** As far as this user may read it. */
  readonly config: Uint8Array;
}

/** Throws UserError: no such device, or no driver of VFIO's has it. */
export function findHardware(name: string): HardwareDevice {
  const found = BDF.exec(name);
  if (found === null)
    throw new UserError(`'${name}' is no PCI address; write one like 0000:01:00.0 (lspci -D lists them)`);
  const bdf = `${found[1] ?? '0000'}:${found[2]}`.toLowerCase();
  const directory = join(DEVICES, bdf);
  if (!existsSync(directory)) throw new UserError(`there is no PCI device ${bdf} (lspci -D lists them)`);
  const group = link(join(directory, 'iommu_group'));
  const noiommu = group !== undefined && text(`/sys/kernel/iommu_groups/${group}/name`) === 'vfio-noiommu';
  const groupPath = group === undefined ? undefined : `/dev/vfio/${noiommu ? 'noiommu-' : ''}${group}`;
  const [node] = list(join(directory, 'vfio-dev'));
  const cdevPath = node === undefined ? undefined : `/dev/vfio/devices/${node}`;
  const device: HardwareDevice = {
    bdf,
    vendor: number(directory, 'vendor'),
    device: number(directory, 'device'),
    classCode: number(directory, 'class'),
    subsystemVendor: number(directory, 'subsystem_vendor'),
    subsystemDevice: number(directory, 'subsystem_device'),
    revision: number(directory, 'revision'),
    groupPath: present(groupPath) && present('/dev/vfio/vfio') ? groupPath : undefined,
    cdevPath: present(cdevPath) && present('/dev/iommu') ? cdevPath : undefined,
    noiommu,
    config: bytes(join(directory, 'config')),
  };
  if (device.groupPath !== undefined || device.cdevPath !== undefined) return device;
  const driver = link(join(directory, 'driver'));
  throw new UserError(
    driver?.includes('vfio') === true
      ? `${bdf} has the driver ${driver}, but there is neither ${groupPath ?? 'a group'} nor a device node for it in /dev/vfio; vfiotape doctor says more`
      : `${bdf} ${driver === undefined ? 'has no driver' : `has the driver ${driver}`}; VFIO must have it: echo vfio-pci > ${directory}/driver_override${driver === undefined ? '' : `; echo ${bdf} > ${directory}/driver/unbind`}; echo ${bdf} > /sys/bus/pci/drivers_probe`,
  );
}

function present(path: string | undefined): boolean {
  return path !== undefined && existsSync(path);
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function bytes(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch {
    return new Uint8Array(0);
  }
}

function number(directory: string, name: string): number {
  return Number(text(join(directory, name)) || '0');
}

function link(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined;
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
