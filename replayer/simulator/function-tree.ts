// SPDX-License-Identifier: Apache-2.0
/** What sysfs shows of a PCI function, whichever VFIO it belongs to. */
import type { PciDevice, Resource } from '../kernel/pci/pci-device.js';
import { hex, type Tree } from './tree-files.js';

/** include/linux/ioport.h */
const IORESOURCE_IO = 0x100;
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_READONLY = 0x4000;
const IORESOURCE_MEM_64 = 0x10_0000;
const IORESOURCE_SIZEALIGN = 0x4_0000;

export function homeOf({ name }: PciDevice): string {
  return `/sys/devices/pci${name.slice(0, 7)}/${name}`;
}

/** The function's directory, bound to the driver of this name. */
export function layOutFunction(tree: Tree, pci: PciDevice, driver: string): void {
  const home = homeOf(pci);
  const put = (name: string, content: string | Uint8Array): void => tree.file(`${home}/${name}`, content);
  const { vendor, device: id, subsystemVendor = 0, subsystem = 0, classCode, revision = 0 } = pci.fn.pci;
  put('vendor', hex(vendor, 4));
  put('device', hex(id, 4));
  put('subsystem_vendor', hex(subsystemVendor, 4));
  put('subsystem_device', hex(subsystem, 4));
  put('class', hex(classCode, 6));
  put('revision', hex(revision, 2));
  put('irq', String(pci.fn.pci.interruptLine ?? 0));
  put('enable', '1');
  put('numa_node', '-1');
  put('local_cpus', 'ffffffff');
  put('local_cpulist', '0-31');
  put('dma_mask_bits', '64');
  put('consistent_dma_mask_bits', '64');
  put('msi_bus', '1');
  put('broken_parity_status', '0');
  put('d3cold_allowed', '1');
  put('power_state', 'D0');
  put('reset_method', 'flr');
  put('reset', '');
  put('remove', '');
  put('rescan', '');
  put('config', pci.fn.config.bytes);
  const upper = (value: number, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');
  const modalias = `pci:v${upper(vendor, 8)}d${upper(id, 8)}sv${upper(subsystemVendor, 8)}sd${upper(subsystem, 8)}bc${upper(classCode >> 16, 2)}sc${upper((classCode >> 8) & 0xff, 2)}i${upper(classCode & 0xff, 2)}`;
  put('modalias', modalias);
  put(
    'uevent',
    `DRIVER=${driver}\nPCI_CLASS=${upper(classCode, 1)}\nPCI_ID=${upper(vendor, 4)}:${upper(id, 4)}\nPCI_SUBSYS_ID=${upper(subsystemVendor, 4)}:${upper(subsystem, 4)}\nPCI_SLOT_NAME=${pci.name}\nMODALIAS=${modalias}`,
  );
  put('resource', resourceLines(pci));
  pci.resources.forEach((resource, index) => {
    // The content is not there: drivers of VFIO devices map BARs through VFIO.
    if (resource !== undefined && index < 6) tree.sized(`${home}/resource${index}`, resource.size);
  });
  tree.link(`${home}/driver`, `/sys/bus/pci/drivers/${driver}`);
  tree.link(`${home}/subsystem`, '/sys/bus/pci');
  tree.link(`/sys/bus/pci/devices/${pci.name}`, home);
  tree.link(`/sys/bus/pci/drivers/${driver}/${pci.name}`, home);
}

/** drivers/pci/pci-sysfs.c: resource_show; a line for each BAR and the ROM, and as many as a bridge would have. */
function resourceLines(pci: PciDevice): string {
  const lines = Array.from({ length: 13 }, (_, index) => {
    const resource = pci.resources[index];
    if (resource === undefined) return [0n, 0n, 0n];
    return [
      resource.start,
      resource.start + BigInt(resource.size) - 1n,
      BigInt(resourceFlags(resource, index)),
    ];
  });
  return lines
    .map((line) => line.map((value) => `0x${value.toString(16).padStart(16, '0')}`).join(' '))
    .join('\n');
}

function resourceFlags({ io, wide, prefetchable }: Resource, index: number): number {
  if (io) return IORESOURCE_IO | IORESOURCE_SIZEALIGN | 1;
  return (
    IORESOURCE_MEM |
    IORESOURCE_SIZEALIGN |
    (wide ? IORESOURCE_MEM_64 | 4 : 0) |
    (prefetchable ? IORESOURCE_PREFETCH | 8 : 0) |
    (index === 6 ? IORESOURCE_READONLY : 0)
  );
}
