// SPDX-License-Identifier: Apache-2.0
import { errnoName } from '../../../abi/linux/errno.js';
import { EVENTFD, objectKindName } from '../../../abi/object-kinds.js';
import { irqIndexName } from '../../../abi/vfio/irqs.js';
import type { Rule } from '../../check/rule.js';
import { onSetIrqs } from './requests.js';

const EBADF = 9;
const EINVAL = 22;

export const IRQ_004: Rule = {
  id: 'IRQ-004',
  title: 'Each descriptor of SET_IRQS is an eventfd of this process, or -1',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `One descriptor that is none undoes the whole call. A number that happens to be another eventfd is worse: it is taken, and that one is signalled. An array of which only the first element was written holds whatever
the stack held.`,
  sources: [
    'vfio_pci_intrs.c: vfio_msi_set_block (undone as a whole), vfio_msi_set_vector_signal (negative: detach)',
    'fs/eventfd.c: eventfd_ctx_fdget (EBADF, EINVAL)',
    'ixy, libixy-vfio.c: vfio_enable_msix wrote fd_ptr[0] of count',
  ],
  decided: `SET_IRQS was refused with EBADF or EINVAL and holds a descriptor that is known to be something else than an eventfd, or not known at all; a negative number other than -1 is a warning (the kernel takes it for -1).`,
  wrongWhen:
    'An eventfd that came over a socket or from a parent may not be known: when it was taken, it is one.',
  compliant: 'Fill the whole array; -1 for vectors that get no eventfd.',
  watch: (check) => ({
    ioctl: onSetIrqs(({ device, index, start, descriptors }, { event }) => {
      if (descriptors.length === 0) return;
      check.judged();
      const what = irqIndexName(index);
      const negative = descriptors.findIndex(({ fd }) => fd < -1);
      if (negative >= 0) {
        const { fd } = descriptors[negative] as (typeof descriptors)[number];
        check.report({
          key: `${what} negative`,
          device,
          severity: 'warning',
          message: `vector ${start + negative} of ${what} was given descriptor ${fd}: -1 is what detaches`,
          evidence: [{ event: event.number, note: 'the call' }],
        });
      }
      if (event.errno !== EBADF && event.errno !== EINVAL) return;
      const wrong = descriptors.findIndex(
        ({ fd, kind }) => fd >= 0 && kind !== EVENTFD && (kind !== 0 || event.errno === EBADF),
      );
      if (wrong < 0) return;
      const { fd, kind } = descriptors[wrong] as (typeof descriptors)[number];
      check.report({
        key: what,
        device,
        message: `vector ${start + wrong} of ${what} was given descriptor ${fd}, which is ${kind === 0 ? 'none' : `a ${objectKindName(kind)}`}: ${errnoName(event.errno)}`,
        evidence: [{ event: event.number, note: 'refused as a whole' }],
      });
    }),
  }),
};
