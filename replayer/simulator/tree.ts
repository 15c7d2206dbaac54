// SPDX-License-Identifier: Apache-2.0
/**
 * The files of /dev, /sys and /proc that a driver consults on its way to a device: laid out as real files and relative
 * links below a directory to which the shim leads every path of them (SIM_PREFIXES).
 */
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { SIM_NODE_MODE } from '../../abi/wire/sim.js';
import type { SimulatedKernel } from '../kernel/kernel.js';
import type { PciDevice, Resource } from '../kernel/pci/pci-device.js';
import type { VfioDevice } from '../kernel/vfio/vfio-device.js';
import { nodeNumber } from './open-files.js';

/** include/linux/ioport.h */
const IORESOURCE_IO = 0x100;
const IORESOURCE_MEM = 0x200;
const IORESOURCE_PREFETCH = 0x2000;
const IORESOURCE_READONLY = 0x4000;
const IORESOURCE_MEM_64 = 0x10_0000;
const IORESOURCE_SIZEALIGN = 0x4_0000;

/** Lays the files out; the result brings those up to date that follow the devices' state. */
export function layOutTree(root: string, kernel: SimulatedKernel): () => void {
  const tree = new Tree(root);
  for (const path of kernel.nodes) tree.node(path);
  const noiommu = kernel.variant.noiommu ? 'Y' : 'N';
  const unsafe = kernel.variant.unsafeInterrupts ? 'Y' : 'N';
  tree.file('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', noiommu);
  tree.file('/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts', unsafe);
  tree.file('/sys/module/vfio_iommu_type1/parameters/dma_entry_limit', '65535');
  tree.file('/sys/module/vfio_pci/parameters/disable_idle_d3', 'N');
  tree.file('/sys/module/vfio_pci/parameters/disable_vga', 'N');
  tree.file(
    '/proc/modules',
    'vfio_pci 16384 0 - Live 0x0000000000000000\nvfio_pci_core 94208 1 vfio_pci, Live 0x0000000000000000\n' +
      'vfio_iommu_type1 49152 0 - Live 0x0000000000000000\nvfio 73728 3 vfio_pci_core,vfio_iommu_type1,vfio_pci, Live 0x0000000000000000',
  );
  const driver = '/sys/bus/pci/drivers/vfio-pci';
  for (const name of ['bind', 'unbind', 'new_id', 'remove_id']) tree.file(`${driver}/${name}`, '');
  tree.link(`${driver}/module`, '/sys/module/vfio_pci');
  tree.directory('/sys/bus/pci/slots');
  tree.file('/sys/bus/pci/drivers_probe', '');
  tree.file('/sys/bus/pci/rescan', '');
  tree.directory('/sys/class/vfio');
  tree.directory('/sys/class/iommu');
  for (const device of kernel.devices) layOutDevice(tree, device, kernel);
  return followConfig(root, kernel);
}

/** `config` of each device, which `setpci` and `lspci` read while a driver is at work. */
function followConfig(root: string, kernel: SimulatedKernel): () => void {
  const followed = kernel.devices.map(({ core: { pci } }) => ({
    live: pci.fn.config.bytes,
    shown: pci.fn.config.bytes.slice(),
    path: join(root, homeOf(pci), 'config'),
  }));
  return () => {
    for (const { live, shown, path } of followed) {
      if (Buffer.compare(live, shown) === 0) continue;
      shown.set(live);
      // In place: a reader may have it open.
      writeFileSync(path, live, { flag: 'r+' });
    }
  };
}

function homeOf({ name }: PciDevice): string {
  return `/sys/devices/pci${name.slice(0, 7)}/${name}`;
}

function layOutDevice(tree: Tree, device: VfioDevice, kernel: SimulatedKernel): void {
  const pci = device.core.pci;
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
  put('driver_override', 'vfio-pci');
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
    `DRIVER=vfio-pci\nPCI_CLASS=${upper(classCode, 1)}\nPCI_ID=${upper(vendor, 4)}:${upper(id, 4)}\nPCI_SUBSYS_ID=${upper(subsystemVendor, 4)}:${upper(subsystem, 4)}\nPCI_SLOT_NAME=${pci.name}\nMODALIAS=${modalias}`,
  );
  put('resource', resourceLines(pci));
  pci.resources.forEach((resource, index) => {
    // The content is not there: drivers of VFIO devices map BARs through VFIO.
    if (resource !== undefined && index < 6) tree.sized(`${home}/resource${index}`, resource.size);
  });
  tree.link(`${home}/driver`, '/sys/bus/pci/drivers/vfio-pci');
  tree.link(`${home}/subsystem`, '/sys/bus/pci');
  tree.link(`/sys/bus/pci/devices/${pci.name}`, home);
  tree.link(`/sys/bus/pci/drivers/vfio-pci/${pci.name}`, home);
  const group = `/sys/kernel/iommu_groups/${device.groupId}`;
  tree.file(`${group}/type`, kernel.variant.iommu === 'none' ? 'unknown' : 'DMA');
  tree.file(`${group}/reserved_regions`, '0x00000000fee00000 0x00000000feefffff msi');
  tree.link(`${group}/devices/${pci.name}`, home);
  tree.link(`${home}/iommu_group`, group);
  // drivers/vfio/group.c: vfio_noiommu_group_alloc
  if (kernel.variant.iommu === 'none') tree.file(`${group}/name`, 'vfio-noiommu');
  const cdev = kernel.nodes.find((path) => path === `/dev/vfio/devices/vfio${device.index}`);
  if (cdev === undefined) return;
  const { major, minor } = nodeNumber(cdev);
  const vfio = `${home}/vfio-dev/vfio${device.index}`;
  tree.file(`${vfio}/dev`, `${major}:${minor}`);
  tree.file(`${vfio}/uevent`, `MAJOR=${major}\nMINOR=${minor}\nDEVNAME=vfio/devices/vfio${device.index}`);
  tree.link(`${vfio}/device`, home);
  tree.link(`/sys/class/vfio-dev/vfio${device.index}`, vfio);
  tree.link(`/sys/dev/char/${major}:${minor}`, vfio);
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

class Tree {
  constructor(readonly root: string) {
    mkdirSync(root, { recursive: true, mode: 0o700 });
  }

  directory(path: string): void {
    mkdirSync(join(this.root, path), { recursive: true });
  }

  /** Text gets its newline. */
  file(path: string, content: string | Uint8Array): void {
    const place = this.#place(path);
    const text =
      typeof content === 'string' && content !== '' && !content.endsWith('\n') ? `${content}\n` : content;
    writeFileSync(place, text, { mode: 0o644 });
  }

  sized(path: string, bytes: number): void {
    this.file(path, '');
    truncateSync(this.#place(path), bytes);
  }

  link(path: string, target: string): void {
    const place = this.#place(path);
    symlinkSync(relative(dirname(path), target), place);
  }

  node(path: string): void {
    const { major, minor } = nodeNumber(path);
    this.sized(path, major * 2 ** 20 + minor);
    chmodSync(this.#place(path), SIM_NODE_MODE | 0o666);
  }

  #place(path: string): string {
    const place = join(this.root, path);
    mkdirSync(dirname(place), { recursive: true });
    return place;
  }
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
