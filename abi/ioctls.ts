// SPDX-License-Identifier: Apache-2.0
/** Which ioctl a number is, given the kind of the descriptor it was called on. */

import type { Ioctl } from './ioctl.js';
import { HWPT_IOCTLS } from './iommufd/hwpt.js';
import { IOAS_IOCTLS } from './iommufd/ioas.js';
import { VIOMMU_IOCTLS } from './iommufd/viommu.js';
import { KVM_IOCTLS, KVM_VM_IOCTLS } from './kvm.js';
import { LYON_IOCTLS, LYON_V2_IOCTLS } from './lyon2010/ioctls.js';
import * as kind from './object-kinds.js';
import { CONTAINER_IOCTLS } from './vfio/container.js';
import { DEVICE_IOCTLS } from './vfio/device.js';
import { GROUP_IOCTLS } from './vfio/group.js';
import { MIGRATION_IOCTLS } from './vfio/migration.js';
import { SPAPR_IOCTLS } from './vfio/spapr.js';
import { TYPE1_IOCTLS } from './vfio/type1.js';

const container: readonly Ioctl[] = [...CONTAINER_IOCTLS, ...TYPE1_IOCTLS, ...SPAPR_IOCTLS];
const iommufd: readonly Ioctl[] = [...IOAS_IOCTLS, ...HWPT_IOCTLS, ...VIOMMU_IOCTLS];

/**
 * By kind. A container may be an iommufd in disguise (CONFIG_IOMMUFD_VFIO_CONTAINER), and an iommufd answers the
 * container's calls (iommufd_vfio_ioctl), so each knows both; the numbers don't collide.
 */
export const IOCTLS_BY_KIND: Readonly<Record<number, readonly Ioctl[]>> = {
  [kind.CONTAINER]: [...container, ...iommufd],
  [kind.GROUP]: GROUP_IOCTLS,
  [kind.NOIOMMU_GROUP]: GROUP_IOCTLS,
  [kind.DEVICE]: DEVICE_IOCTLS,
  [kind.CDEV]: DEVICE_IOCTLS,
  [kind.IOMMUFD]: [...iommufd, ...CONTAINER_IOCTLS, ...TYPE1_IOCTLS],
  [kind.MIGRATION]: MIGRATION_IOCTLS,
  [kind.LYON_DEVICE]: [...LYON_IOCTLS, ...LYON_V2_IOCTLS],
  [kind.KVM]: KVM_IOCTLS,
  [kind.KVM_VM]: KVM_VM_IOCTLS,
};

const tables = new Map<number, ReadonlyMap<number, Ioctl>>(
  Object.entries(IOCTLS_BY_KIND).map(([number, list]) => [
    Number(number),
    new Map(list.map((entry) => [entry.request, entry])),
  ]),
);

export function findIoctl(objectKind: number, request: number): Ioctl | undefined {
  return tables.get(objectKind)?.get(request);
}

/** Every (kind, request) that bears this name in C. */
export function ioctlsNamed(name: string): readonly { readonly kind: number; readonly request: number }[] {
  const found: { kind: number; request: number }[] = [];
  for (const [number, table] of tables) {
    for (const entry of table.values())
      if (entry.name === name) found.push({ kind: number, request: entry.request });
  }
  return found;
}

/** The number of an ioctl by its name in C, whichever kind of file has it. */
export function requestNumber(name: string): number {
  const [found] = ioctlsNamed(name);
  if (found === undefined) throw new Error(`no ioctl is named ${name}`);
  return found.request;
}

/** All names, for messages that suggest one. */
export function ioctlNames(): readonly string[] {
  return [...new Set(Object.values(IOCTLS_BY_KIND).flatMap((list) => list.map(({ name }) => name)))].sort();
}
