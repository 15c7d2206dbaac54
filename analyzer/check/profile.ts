// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import { KVM, LYON_DEVICE } from '../../abi/object-kinds.js';
import type { DefinitionMaps } from '../../traces/reader.js';
import type { Profile } from './rule.js';

/** The kernel's selftests of VFIO (tools/testing/selftests/vfio), and the collection of tests by VFIO's maintainer. */
const TEST_PROGRAMS: ReadonlySet<string> = new Set([
  'vfio_dma_mapping_test',
  'vfio_dma_mapping_mmio_test',
  'vfio_iommufd_setup_test',
  'vfio_pci_device_test',
  'vfio_pci_device_init_perf_test',
  'vfio_pci_driver_test',
  'vfio-pci-device-open',
  'vfio-pci-hot-reset',
  'vfio-iommu-map-unmap',
  'vfio-correctness-tests',
]);

/** Monitors by their names: one that emulates the processor opens no KVM. */
const MONITOR = /^(qemu-system-|kvm$|crosvm$|cloud-hypervisor$)/;

/** Who opened KVM is a monitor, and who bears a monitor's name; a test is known by its name, too. */
export function detectProfile(definitions: DefinitionMaps): Profile {
  for (const { kind } of definitions.objects.values()) if (kind === LYON_DEVICE) return 'lyon2010';
  const programs = [...definitions.processes.values()].map(({ exe }) => basename(exe));
  if (programs.some((name) => TEST_PROGRAMS.has(name))) return 'test';
  if (programs.some((name) => MONITOR.test(name))) return 'vmm';
  for (const { kind } of definitions.objects.values()) if (kind === KVM) return 'vmm';
  return 'driver';
}
