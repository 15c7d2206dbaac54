// SPDX-License-Identifier: Apache-2.0
import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DeviceDefinition, ResourceDescription } from '../../traces/model.js';

const BDF = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/i;
const CONFIG_MAX = 4096;

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

function link(path: string): string {
  try {
    return basename(readlinkSync(path));
  } catch {
    return '';
  }
}

/** The PCI device that a device's name is the address of: "0000:06:0d.0", perhaps followed by " vf_token=…". */
export function bdfOfName(name: string): string | undefined {
  const word = name.split(/[\s\0]/, 1)[0] ?? '';
  return BDF.test(word) ? word.toLowerCase() : undefined;
}

/** segment << 16 | bus << 8 | device << 3 | function */
export function bdfOfAddress(address: number): string {
  const digits = (value: number, count: number): string => value.toString(16).padStart(count, '0');
  return `${digits(address >>> 16, 4)}:${digits((address >>> 8) & 0xff, 2)}:${digits((address >>> 3) & 31, 2)}.${address & 7}`;
}

/** The PCI device behind /dev/vfio/devices/vfioN (iommufd), or /dev/vfioN (the interface of 2010). */
export function bdfOfNode(path: string, sysfs = '/sys'): string | undefined {
  const node = /^\/dev\/vfio\/devices\/(vfio\d+)$/.exec(path)?.[1];
  const lyon = /^\/dev\/(vfio\d+)$/.exec(path)?.[1];
  const device =
    node !== undefined
      ? join(sysfs, 'class/vfio-dev', node, 'device')
      : lyon !== undefined
        ? join(sysfs, 'class/vfio', lyon, 'device')
        : undefined;
  if (device === undefined) return undefined;
  try {
    return bdfOfName(basename(realpathSync(device)));
  } catch {
    return undefined;
  }
}

/** Each line of `resource`: start, end, flags. */
function resources(content: string): ResourceDescription[] {
  const found: ResourceDescription[] = [];
  content.split('\n').forEach((line, index) => {
    const [start, end, flags] = line.trim().split(/\s+/);
    if (start === undefined || end === undefined || flags === undefined) return;
    const size = BigInt(end) === 0n ? 0n : BigInt(end) - BigInt(start) + 1n;
    if (size > 0n) found.push({ index, size, flags: BigInt(flags) });
  });
  return found;
}

/** What sysfs says of a PCI device; undefined when it knows none of that address. */
export function describeDevice(id: number, bdf: string, sysfs = '/sys'): DeviceDefinition | undefined {
  const directory = join(sysfs, 'bus/pci/devices', bdf);
  const vendor = text(join(directory, 'vendor'));
  if (vendor === '') return undefined;
  const number = (name: string): number => Number(text(join(directory, name))) || 0;
  let config: Uint8Array = new Uint8Array(0);
  try {
    config = new Uint8Array(readFileSync(join(directory, 'config')).subarray(0, CONFIG_MAX));
  } catch {
    // Not every sysfs lets us; the driver's own reads of config space are in the trace.
  }
  return {
    id,
    bdf,
    vendor: Number(vendor),
    device: number('device'),
    classCode: number('class'),
    subsystemVendor: number('subsystem_vendor'),
    subsystemDevice: number('subsystem_device'),
    revision: number('revision'),
    driver: link(join(directory, 'driver')),
    iommuGroup: link(join(directory, 'iommu_group')),
    resources: resources(text(join(directory, 'resource'))),
    config,
    resetMethod: text(join(directory, 'reset_method')),
    numaNode: number('numa_node'),
  };
}
