// SPDX-License-Identifier: Apache-2.0
/** The files of today's VFIO: its modules, groups and character devices. */
import type { SimulatedKernel } from '../kernel/kernel.js';
import type { VfioDevice } from '../kernel/vfio/vfio-device.js';
import { homeOf, layOutFunction } from './function-tree.js';
import { nodeNumber } from './open-files.js';
import type { Tree } from './tree-files.js';

export function layOutVfio(tree: Tree, kernel: SimulatedKernel): void {
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
  tree.link('/sys/bus/pci/drivers/vfio-pci/module', '/sys/module/vfio_pci');
  tree.directory('/sys/class/vfio');
  for (const device of kernel.devices) layOutDevice(tree, device, kernel);
}

function layOutDevice(tree: Tree, device: VfioDevice, kernel: SimulatedKernel): void {
  const { pci } = device.core;
  const home = homeOf(pci);
  layOutFunction(tree, pci, 'vfio-pci');
  tree.file(`${home}/driver_override`, 'vfio-pci');
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
