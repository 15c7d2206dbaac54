// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import type { Rule } from '../../check/rule.js';
import { watchTornQueues } from './torn-queues.js';

export const DMA_005: Rule = {
  id: 'DMA-005',
  title: 'Memory that the device may still use is not unmapped or mapped anew',
  severity: 'error',
  profiles: { vmm: 'note', test: 'note' },
  kernel: 'allows',
  basis: 'inferred',
  needs: ['accesses'],
  why: `The device has no notion of the driver's bookkeeping: a queue that is unmapped while the controller holds its address is fetched from and written to all the same. When the IOVA has been given
to other memory by then, that memory is corrupted.`,
  sources: [
    'vfio_iommu_type1.c: vfio_dma_do_unmap (the kernel does not know what the device holds)',
    'NVM Express 1.4 §5.5, §5.6 (delete the queue, then free its memory)',
  ],
  decided: `A queue's address lay in what was unmapped, bus mastering was on and the controller enabled, and a doorbell of the device was rung afterwards, with no reset or new set-up between.`,
  wrongWhen: `Buffers of single commands are not looked at: which of them are on their way is written in DMA memory, which was not recorded. Memory that is mapped for one command and unmapped after it
completed, as QEMU does, holds no queue. Memory that is mapped at the
same IOVA again before the next doorbell, as QEMU does when it cuts a guest's memory anew, is not reported.`,
  compliant: 'Delete the queue or disable the controller, then unmap its memory.',
  watch: (check) =>
    watchTornQueues(check, ({ device, queue, event, rung }) => {
      if (rung === undefined) return;
      check.report({
        key: queue.register,
        device,
        message: `the memory at ${hex(queue.address)}, which ${queue.register} points to, was unmapped, and the device was used further`,
        evidence: [
          { event: rung, note: 'a doorbell' },
          { event, note: 'unmapped' },
          { event: queue.event, note: 'the device was told' },
        ],
      });
    }),
};
