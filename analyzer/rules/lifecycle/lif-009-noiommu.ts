// SPDX-License-Identifier: Apache-2.0
import { NOIOMMU_GROUP } from '../../../abi/object-kinds.js';
import type { Rule } from '../../check/rule.js';

const NOIOMMU = 8n;

export const LIF_009: Rule = {
  id: 'LIF-009',
  title: 'There is an IOMMU between the device and memory',
  severity: 'note',
  kernel: 'allows',
  basis: 'proven',
  why: `In no-IOMMU mode the device reaches all of memory by physical addresses, and raises any interrupt: what these rules say about DMA can not hold. The kernel taints itself.`,
  sources: [
    'linux/vfio.h: VFIO_NOIOMMU_IOMMU',
    'vfio/group.c: vfio_group_find_or_alloc (TAINT_USER)',
    'Lyon, June 2010: the IOMMU does not handle interrupts',
  ],
  decided: 'A group of /dev/vfio/noiommu-N was opened, or SET_IOMMU asked for VFIO_NOIOMMU_IOMMU.',
  wrongWhen: 'Virtual machines without a virtual IOMMU, and test machines, have no other way.',
  compliant: 'Use a machine with an IOMMU.',
  watch: (check) => ({
    on: {
      open: ({ object, ok, event }) => {
        if (!ok) return;
        check.judged();
        if (check.story.session.names.kind(object) !== NOIOMMU_GROUP) return;
        check.report({
          key: 'group',
          object,
          message: 'a no-IOMMU group was opened',
          evidence: [{ event: event.number, note: 'no IOMMU' }],
        });
      },
    },
    ioctl: {
      VFIO_SET_IOMMU: ({ object, event, ok }) => {
        check.judged();
        if (!ok || event.value !== NOIOMMU) return;
        check.report({
          key: 'SET_IOMMU',
          object,
          message: 'the container works without an IOMMU',
          evidence: [{ event: event.number, note: 'VFIO_NOIOMMU_IOMMU' }],
        });
      },
    },
  }),
};
