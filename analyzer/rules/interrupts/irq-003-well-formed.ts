// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../../abi/text.js';
import { IRQ_SET } from '../../../abi/vfio/irqs.js';
import type { Rule } from '../../check/rule.js';
import { ACTION_MASK, DATA_BOOL, DATA_EVENTFD, DATA_MASK, onSetIrqs } from './requests.js';

const isOne = (bits: number): boolean => bits !== 0 && (bits & (bits - 1)) === 0;

export const IRQ_003: Rule = {
  id: 'IRQ-003',
  title: 'SET_IRQS has one DATA and one ACTION flag, and room for its data',
  severity: 'error',
  profiles: { test: 'note', lyon2010: 'off' },
  kernel: 'refuses',
  basis: 'proven',
  why: `The flags say what follows the header, and what is to be done with it. argsz must cover the header and count elements: the kernel reads no further, and refuses when it would have to.`,
  sources: ['linux/vfio.h: struct vfio_irq_set', 'vfio_main.c: vfio_set_irqs_validate_and_prepare (EINVAL)'],
  decided: `None or several of DATA_NONE, DATA_BOOL, DATA_EVENTFD; none or several of MASK, UNMASK, TRIGGER; any other flag; argsz below 20 + count × (4 for eventfds, 1 for bools).`,
  wrongWhen: 'A flag of a kernel newer than this rule. An argsz that is larger than need be is fine.',
  compliant: 'argsz = sizeof(struct vfio_irq_set) + count * sizeof(int32_t), one flag of each kind.',
  watch: (check) => ({
    ioctl: onSetIrqs(({ device, flags, argsz, count }, { event }) => {
      check.judged();
      const element = (flags & DATA_EVENTFD) !== 0 ? 4 : (flags & DATA_BOOL) !== 0 ? 1 : 0;
      const needed = IRQ_SET.size + count * element;
      const wrong: readonly (readonly [key: string, text: string])[] = [
        ...(isOne(flags & DATA_MASK) ? [] : ([['data', 'not just one DATA flag']] as const)),
        ...(isOne(flags & ACTION_MASK) ? [] : ([['action', 'not just one ACTION flag']] as const)),
        ...((flags & ~(DATA_MASK | ACTION_MASK)) === 0
          ? []
          : ([['flags', 'flags that there are not']] as const)),
        ...(argsz >= needed ? [] : ([['argsz', `argsz ${argsz}, where ${needed} are needed`]] as const)),
      ];
      if (wrong.length === 0) return;
      check.report({
        key: wrong.map(([key]) => key).join(' '),
        device,
        message: `SET_IRQS with flags ${hex(flags)}: ${wrong.map(([, text]) => text).join(', ')}`,
        evidence: [{ event: event.number, note: event.errno === 0 ? 'the call' : 'refused' }],
      });
    }),
  }),
};
