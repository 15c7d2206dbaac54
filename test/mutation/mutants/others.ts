// SPDX-License-Identifier: Apache-2.0
/** What can be done wrong with other interrupts, other nodes, resets, other devices and neighbours. */

import { LYON_MESSAGES } from '../../../abi/lyon2010/netlink.js';
import { HOT_RESET, HOT_RESET_INFO } from '../../../abi/vfio/hot-reset.js';
import type { Opened } from '../../../session/fixtures.js';
import { before, type Context, moved, replaced, type Step, without } from '../clean-session.js';
import { anywhere, type Mutant, mutant } from '../mutant.js';
import {
  AGAIN,
  CDEV,
  E1000E,
  INTX,
  LIVES,
  LYON,
  lifeAgain,
  lyonMessage,
  MSI,
  NEIGHBOUR,
  RESET,
  UNRESETTABLE,
} from '../other-sessions.js';

const [EBUSY, EINVAL, ENOTTY] = [16, 22, 25];
const UNMASK = { index: 0, flags: 0x11, count: 1 };
const work = (s: Context['s'], device: Opened): void => {
  for (let n = 0; n < 100; n++) s.store(device, 0, 0x1004, 4, n);
};

const LINES: readonly Mutant[] = [
  mutant(
    'INTX-001',
    'the last piece of work leaves INTx masked',
    replaced(
      'work 3',
      ({ s, device, eventfds }) =>
        s
          .readEventfd(eventfds[0] as Opened)
          .load(device, 0, 0x1c, 4, 1)
          .after(2e9),
      INTX,
    ),
  ),
  ...anywhere(
    'INTX-002',
    'unmasked before the device is looked at',
    ({ s, eventfds, device }) => {
      const eventfd = eventfds[0] as Opened;
      for (let n = 0; n < 4; n++) s.readEventfd(eventfd).setIrqs(device, UNMASK);
    },
    [],
    INTX,
  ),
  mutant(
    'INTX-003',
    'the line is taken, and on it goes',
    replaced(
      'MSI-X',
      ({ s, device, eventfds }) => {
        s.setIrqs(device, { index: 0, eventfds: eventfds.slice(0, 1), errno: EBUSY });
        work(s, device);
      },
      without(['work 1', 'work 2', 'work 3'], INTX),
    ),
  ),
  ...anywhere(
    'INTX-004',
    'Interrupt Disable is cleared when nobody listens',
    ({ s, device }) =>
      s
        .setIrqs(device, { index: 1 })
        .configRead(device, 4, 2, 0x0406)
        .configWrite(device, 4, 2, 0x0006)
        .after(20e6),
    [],
    MSI,
  ),
  ...anywhere(
    'INTX-005',
    'another than the first line is unmasked',
    ({ s, device }) => s.setIrqs(device, { index: 0, start: 1, flags: 0x11, count: 1, errno: EINVAL }),
    ['IRQ-001'],
    INTX,
  ),
  mutant(
    'INTX-006',
    'there is no INTx, and it is asked for',
    replaced(
      'MSI-X',
      ({ s, device, eventfds }) =>
        s.setIrqs(device, { index: 0, eventfds: eventfds.slice(0, 1), errno: EINVAL }),
      replaced(
        'irq info',
        ({ s, device }) => {
          for (const [at, count] of [0, 0, 0, 1, 1].entries()) s.irqInfo(device, at, count);
        },
        without(['work 1', 'work 2', 'work 3'], INTX),
      ),
    ),
    ['IRQ-001'],
  ),
  ...anywhere(
    'IRQ-002',
    'MSI while INTx is enabled',
    ({ s, device, req }) => s.setIrqs(device, { index: 1, eventfds: [req], errno: EINVAL }),
    ['IRQ-001'],
    INTX,
  ),
  ...anywhere(
    'IRQ-006',
    'MSI is unmasked',
    ({ s, device }) => s.setIrqs(device, { index: 1, flags: 0x11, count: 1, errno: ENOTTY }),
    [],
    MSI,
  ),
  ...anywhere(
    'IRQ-007',
    'woken a thousand times, and never read',
    ({ s, eventfds }) => {
      for (let n = 0; n < 1100; n++) s.wake(eventfds[1] as Opened);
    },
    ['PERF-013'],
  ),
  mutant(
    'IRQ-011',
    'a ring signals a vector that nobody enabled',
    replaced('IVAR', ({ s, device }) => s.store(device, 0, 0xe4, 4, 0x0f08), E1000E),
  ),
];

const REQUESTS: readonly Mutant[] = [
  mutant(
    'ERR-001',
    'nobody listens to errors for long',
    before(
      'stop',
      ({ s }) => s.after(11e9),
      replaced('ERR and REQ', ({ s, device, req }) => s.setIrqs(device, { index: 4, eventfds: [req] })),
    ),
  ),
  ...anywhere('ERR-001', 'an error, and the device is used as before', ({ s, device, err }) =>
    s.readEventfd(err).after(2e9).store(device, 0, 0x1004, 4, 1),
  ),
  mutant(
    'REQ-001',
    'nobody could ask for the device',
    before(
      'stop',
      ({ s }) => s.after(11e9),
      replaced('ERR and REQ', ({ s, device, err }) => s.setIrqs(device, { index: 3, eventfds: [err] })),
    ),
  ),
];

const hotReset = ({ s, device }: Context, asked: boolean, errno = 0): void => {
  if (asked)
    s.struct(device, 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', HOT_RESET_INFO, { argsz: 12 }, { argsz: 12 });
  s.struct(device, 'VFIO_DEVICE_PCI_HOT_RESET', HOT_RESET, { argsz: 16, count: 1 }, undefined, { errno });
};

const SET_UP_AGAIN = ['bus master again', 'AQA again', 'ASQ again', 'ACQ again', 'enable again'];

const RESETS: readonly Mutant[] = [
  mutant(
    'RST-002',
    'a device that nobody can reset is closed at work',
    without(['stop', 'bus master off', 'unmap DMA', 'free memory'], UNRESETTABLE),
    ['DMA-002', 'BAR-010', 'CLN-001'],
  ),
  mutant('RST-003', 'the doorbells go on after the reset', without(SET_UP_AGAIN, RESET), ['BAR-012']),
  mutant(
    'RST-004',
    'reset in the middle of it all',
    without(['stop again', 'MSI-X off', 'bus master off again'], RESET),
  ),
  mutant(
    'RST-006',
    'a hot reset that nobody asked about',
    replaced('reset', (c) => hotReset(c, false), RESET),
  ),
  mutant(
    'RST-006',
    'a hot reset is refused, and nobody looks',
    before('reset', (c) => hotReset(c, true, EINVAL), RESET),
  ),
  mutant(
    'RST-007',
    'the reset fails, and the session goes on',
    replaced('reset', ({ s, device }) => s.reset(device, 11), RESET),
  ),
  mutant(
    'RST-008',
    'all ones after the reset, taken for data',
    before(
      'bus master again',
      ({ s, device }) => {
        for (let n = 0; n < 3; n++) s.load(device, 0, 0x1c, 4, 0xffff_ffff);
        s.store(device, 0, 0x14, 4, 0);
      },
      RESET,
    ),
  ),
];

const NODES: readonly Mutant[] = [
  mutant(
    'LIF-003',
    'the node is read before it is bound',
    replaced(
      'device',
      (c) => {
        c.device = c.s.openCdev();
        c.s.configRead(c.device, 0, 2, 0, EINVAL).bind(c.device, c.container);
      },
      CDEV,
    ),
    ['BAR-001'],
  ),
  mutant('DMA-001', 'bus mastering before the device is attached', moved('attach', 'AQA', CDEV)),
  mutant(
    'DMA-002',
    'the queues are unmapped before the controller is stopped',
    moved('unmap DMA', 'stop', CDEV),
  ),
  mutant('DMA-005', 'the queues are unmapped while there is work', moved('unmap DMA', 'work 3', CDEV)),
  mutant(
    'DMA-015',
    'memory is given away while it is mapped into the address space',
    moved('free memory', 'work 3', CDEV),
  ),
  mutant('DMA-019', 'detached while it is at work', moved('detach', 'stop', CDEV)),
  mutant('CLN-001', 'a mapping is left in the address space', without(['unmap DMA', 'free memory'], CDEV)),
];

const NEIGHBOURS: readonly Mutant[] = [
  mutant(
    'DMA-020',
    'everything is unmapped, and the neighbour is at work',
    replaced(
      'unmap DMA',
      () => undefined,
      before(
        'stop',
        ({ s, container }) => s.unmapDma(container, { iova: 0n, size: 0n, flags: 2, unmapped: 0x10_0000n }),
        NEIGHBOUR,
      ),
    ),
    // It was not stopped either.
    ['DMA-002'],
  ),
];

const LIVES_AGAIN: readonly Mutant[] = [
  mutant(
    'CLN-005',
    'an eventfd more with each life',
    AGAIN.map(
      (one): Step =>
        (LIVES as readonly string[]).includes(one.name)
          ? {
              name: one.name,
              run: (c) =>
                lifeAgain(
                  c,
                  (device) => c.s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0),
                  () => undefined,
                ),
            }
          : one,
    ),
  ),
  ...LIVES.slice(0, 2).map((life) =>
    mutant(
      'CLN-007',
      `the first thing of ${life} is a doorbell`,
      replaced(
        life,
        (c) =>
          lifeAgain(
            c,
            (device) => c.s.store(device, 0, 0x1000, 4, 1).load(device, 0, 0x1c, 4, 0),
            (eventfd) => c.s.close(eventfd),
          ),
        AGAIN,
      ),
      ['BAR-012'],
    ),
  ),
];

const OF_2010: readonly Mutant[] = [
  mutant('LYON-002', 'the driver registers for nothing', without(['register'], LYON)),
  mutant(
    'LYON-002',
    'the suspend is answered late',
    before(
      'close device',
      ({ s, netlink }) =>
        s
          .netlink('receive', netlink, lyonMessage(LYON_MESSAGES.PM_SUSPEND, 0n))
          .after(6e9)
          .netlink('send', netlink, lyonMessage(LYON_MESSAGES.PM_SUSPEND_REPLY, 0n)),
      without(['remove'], LYON),
    ),
  ),
  mutant(
    'LYON-002',
    'the device is kept after REMOVE',
    before('close device', ({ s }) => s.after(11e9), LYON),
  ),
  mutant(
    'LYON-001',
    'configuration space is written before the domain is set',
    before('domain', ({ s, device }) => s.configWrite(device, 4, 2, 0x0406, EINVAL), LYON),
    // A refused write is one of CFG-005, too.
    ['CFG-005'],
  ),
  mutant(
    'LYON-001',
    'the domain is left before the last write',
    before(
      'close device',
      ({ s, device }) => s.ioctl(device, 'VFIO_DOMAIN_UNSET').configWrite(device, 4, 2, 0x0402, EINVAL),
      LYON,
    ),
    ['CFG-005'],
  ),
];

export const OTHER_MUTANTS: readonly Mutant[] = [
  ...LINES,
  ...REQUESTS,
  ...RESETS,
  ...NODES,
  ...NEIGHBOURS,
  ...LIVES_AGAIN,
  ...OF_2010,
];
