// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { watchTornQueues } from './torn-queues.js';

export const DMA_002: Rule = {
  id: 'DMA-002',
  title: 'The device is stopped before its memory is unmapped and before it is closed',
  severity: 'warning',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `A controller that runs goes on fetching from its queues and writing completions. When their memory is unmapped under it, each of these is an IOMMU fault; without an IOMMU,
a write into memory that is somebody else's by then. Closing the device clears bus mastering, but only after what came before it.`,
  sources: [
    'vfio_pci_core.c: vfio_pci_core_disable (pci_clear_master)',
    'NVM Express 1.4 §7.6.2 (shutdown: delete the queues, then CC.SHN)',
  ],
  decided: `A queue's address lay in what was unmapped, while bus mastering was on and the controller enabled, and then came the end: the device was stopped, reset or closed. A device that was
closed while its controller was enabled and bus mastering on, with its memory still mapped, is a note.`,
  wrongWhen: `Only controllers whose class is known (NVMe, virtio, e1000 to igb). Memory that is unmapped while the session goes on is DMA-005. A process that just ends is CLN-006.`,
  compliant:
    'Disable the controller (NVMe: CC.EN 0, wait for CSTS.RDY 0) or clear bus mastering; then unmap; then close.',
  watch: (check) => {
    const told = new Set<number>();
    const torn = watchTornQueues(check, ({ device, queue, event, rung }) => {
      if (rung !== undefined) return;
      told.add(device.id);
      check.report({
        key: `unmapped ${queue.register}`,
        device,
        message: `the memory at ${hex(queue.address)}, which ${queue.register} points to, was unmapped while the controller was running`,
        evidence: [
          { event, note: 'unmapped' },
          { event: queue.event, note: 'the device was told' },
        ],
      });
    });
    return {
      ...torn,
      on: {
        ...torn.on,
        close: (step) => {
          torn.on?.close?.(step);
          for (const object of step.gone) {
            const device = check.story.devices.get(object);
            if (device === undefined || told.has(object)) continue;
            if (!device.busMaster || device.controllerEnabled !== true) continue;
            check.report({
              key: 'closed',
              device,
              severity: 'note',
              message: 'the device was closed with its controller enabled and bus mastering on',
              evidence: [{ event: step.event.number, note: 'closed' }],
            });
          }
        },
      },
    };
  },
};
