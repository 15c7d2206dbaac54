// SPDX-License-Identifier: Apache-2.0
import { CDEV, CONTAINER, DEVICE, GROUP, IOMMUFD, NOIOMMU_GROUP } from '../../../abi/object-kinds.js';
import type { Rule } from '../../check/rule.js';

const KINDS: ReadonlySet<number> = new Set([CONTAINER, GROUP, NOIOMMU_GROUP, DEVICE, CDEV, IOMMUFD]);
const O_CLOEXEC = 0o2000000;

export const LIF_005: Rule = {
  id: 'LIF-005',
  title: 'VFIO descriptors are used by one process, and closed on exec',
  severity: 'warning',
  profiles: { test: 'note' },
  kernel: 'allows',
  basis: 'proven',
  why: `Mappings are pinned in the memory of the process that made them and counted against its limit. A child that inherits the descriptors keeps the device open when its parent closes it, and
may change what the parent relies on.`,
  sources: [
    'vfio_iommu_type1.c: dma->mm',
    'vfio/group.c: GET_DEVICE_FD is O_CLOEXEC, open of container and group is what the caller asks for',
    'Lyon 2010: "only 1 address space per fd"',
  ],
  decided: `An ioctl on the same open file from a second process that did not get it over a socket; or an exec that succeeded while a container, group or iommufd that was opened without
O_CLOEXEC was open in this process.`,
  wrongWhen:
    'A helper that opens the device and hands it on does so by design. DPDK’s secondary processes get theirs over a socket, and are left out.',
  compliant: 'O_CLOEXEC at open; pass descriptors over sockets on purpose.',
  watch: (check) => {
    const users = new Map<number, { readonly process: number; readonly event: number }>();
    const received = new Set<number>();
    const inheritable = new Map<number, { readonly event: number; readonly process: number }>();
    return {
      on: {
        'receive-fd': ({ object }) => {
          received.add(object);
        },
        open: ({ ok, object, event, process }) => {
          const kind = check.story.session.names.kind(object);
          if (!ok || !KINDS.has(kind)) return;
          check.judged();
          if ((event.op & O_CLOEXEC) === 0) inheritable.set(object, { event: event.number, process });
        },
        close: ({ gone }) => {
          for (const object of gone) {
            users.delete(object);
            inheritable.delete(object);
          }
        },
        ioctl: ({ object, objectKind, process, event }) => {
          if (!KINDS.has(objectKind) || process === 0 || received.has(object)) return;
          check.judged();
          const first = users.get(object);
          if (first === undefined) {
            users.set(object, { process, event: event.number });
            return;
          }
          if (first.process === process || samePid(first.process, process)) return;
          check.report({
            key: `shared ${check.story.session.names.name(object)}`,
            object,
            message: `${check.story.session.names.name(object)} was used by a second process`,
            evidence: [
              { event: event.number, note: 'another process' },
              { event: first.event, note: 'the first one' },
            ],
          });
        },
        exec: ({ event, ok, process }) => {
          if (!ok) return;
          for (const [object, opened] of inheritable) {
            if (opened.process !== process) continue;
            check.report({
              key: `exec ${check.story.session.names.name(object)}`,
              object,
              message: `${check.story.session.names.name(object)} was opened without O_CLOEXEC and went through an exec`,
              evidence: [
                { event: event.number, note: 'the exec' },
                { event: opened.event, note: 'opened here' },
              ],
            });
          }
        },
      },
    };
    function samePid(a: number, b: number): boolean {
      const { processes } = check.story.session.definitions;
      return processes.get(a)?.pid === processes.get(b)?.pid;
    }
  },
};
