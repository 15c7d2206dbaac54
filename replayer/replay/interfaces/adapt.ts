// SPDX-License-Identifier: Apache-2.0
import { CDEV, GROUP, NOIOMMU_GROUP } from '../../../abi/object-kinds.js';
import type { Trace } from '../../../traces/reader.js';
import type { Target } from '../target.js';
import { CdevOnGroup } from './cdev-on-group.js';
import { GroupOnCdev } from './group-on-cdev.js';

/** The target as the session speaks to it: with a translation where the machine has the other interface only. */
export function adaptTarget(trace: Trace, target: Target): Target {
  const kinds = new Set([...trace.definitions.objects.values()].map(({ kind }) => kind));
  const { groupPath, cdevPath } = target;
  if ((kinds.has(GROUP) || kinds.has(NOIOMMU_GROUP)) && groupPath === undefined && cdevPath !== undefined)
    return new GroupOnCdev(target, cdevPath);
  if (kinds.has(CDEV) && cdevPath === undefined && groupPath !== undefined)
    return new CdevOnGroup(target, groupPath);
  return target;
}
