// SPDX-License-Identifier: Apache-2.0
import { CDEV, CONTAINER, DEVICE, GROUP, IOMMUFD, NOIOMMU_GROUP } from '../../../abi/object-kinds.js';
import type { IoctlStep } from '../../../session/story/steps.js';
import type { Rule } from '../../check/rule.js';

const KINDS: ReadonlySet<number> = new Set([CONTAINER, GROUP, NOIOMMU_GROUP, DEVICE, CDEV, IOMMUFD]);
const TIMES = 3;

export const CLN_008: Rule = {
  id: 'CLN-008',
  title: 'A set-up that fails gives back what it had got',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'guessed',
  why: `The error path is the one that nobody runs. A driver that is tried again after a failed mapping or SET_IRQS and has kept its descriptors each time
ends with none left, or with a group that is busy because of itself.`,
  sources: ['openvmm issue 79 (vectors leaked on an error path)'],
  decided: `The same set-up call (MAP_DMA, SET_IRQS, SET_IOMMU, SET_CONTAINER, GET_DEVICE_FD, IOAS_MAP) failed three times with the same errno, and each
time more VFIO descriptors were open than the time before.`,
  wrongWhen: 'The program opens several devices, and one call fails for each of them.',
  compliant: 'Release in the error path what was obtained before the call that failed.',
  watch: (check) => {
    let open = 0;
    const failures = new Map<
      string,
      { readonly open: number; readonly grown: number; readonly event: number }
    >();
    const isCounted = (object: number): boolean => KINDS.has(check.story.session.names.kind(object));
    const look = (step: IoctlStep): void => {
      check.judged();
      if (step.ok) return;
      const key = `${step.name} ${step.event.errno}`;
      const before = failures.get(key);
      const grown = before !== undefined && open > before.open ? before.grown + 1 : 0;
      failures.set(key, { open, grown, event: step.event.number });
      if (before === undefined || grown < TIMES - 1) return;
      check.report({
        key: step.name,
        message: `${step.name} failed again, and ${open} VFIO descriptors are open, more each time`,
        evidence: [
          { event: step.event.number, note: `failed with ${open} descriptors open` },
          { event: before.event, note: `failed with ${before.open} descriptors open` },
        ],
      });
    };
    return {
      on: {
        open: ({ ok, object }) => {
          if (ok && isCounted(object)) open++;
        },
        close: ({ gone }) => {
          for (const object of gone) if (isCounted(object)) open--;
        },
      },
      ioctl: {
        VFIO_IOMMU_MAP_DMA: look,
        VFIO_DEVICE_SET_IRQS: look,
        VFIO_SET_IOMMU: look,
        VFIO_GROUP_SET_CONTAINER: look,
        IOMMU_IOAS_MAP: look,
        VFIO_GROUP_GET_DEVICE_FD: (step) => {
          if (step.ok) open++;
          else look(step);
        },
      },
    };
  },
};
