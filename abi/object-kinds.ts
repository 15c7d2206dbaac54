// SPDX-License-Identifier: Apache-2.0
/**
 * Kinds of open file descriptions (enum vfiotape_object_kind). What a request number means depends on them, and they
 * are known from how the descriptor was born, never from the number.
 */

export const CONTAINER = 1;
export const GROUP = 2;
export const NOIOMMU_GROUP = 3;
export const DEVICE = 4;
export const CDEV = 5;
export const IOMMUFD = 6;
export const EVENTFD = 7;
export const MIGRATION = 8;
export const DMABUF = 9;
export const LYON_DEVICE = 12;
export const UIOMMU = 13;
export const SYSFS = 14;
export const KVM = 15;
export const KVM_VM = 16;
/** A socket of generic netlink, on a machine with the VFIO of 2010. */
export const LYON_NETLINK = 20;

const names: readonly string[] = [
  'fd',
  'container',
  'group',
  'group',
  'device',
  'device',
  'iommufd',
  'eventfd',
  'migration',
  'dmabuf',
  'faultqueue',
  'veventq',
  'device',
  'uiommu',
  'sysfs',
  'kvm',
  'vm',
  'pagemap',
  'epoll',
  'socket',
  'netlink',
];

/** The word that a person reads; the devices of all three interfaces are devices. */
export function objectKindName(kind: number): string {
  return names[kind] ?? 'unknown';
}

export function isDevice(kind: number): boolean {
  return kind === DEVICE || kind === CDEV || kind === LYON_DEVICE;
}
