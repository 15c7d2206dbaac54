// SPDX-License-Identifier: Apache-2.0
/** What makes the session slower than it need be. */
import type { Opened } from '../../../session/fixtures.js';
import { before, CLEAN, type Context, MIB, replaced } from '../clean-session.js';
import { anywhere, type Mutant, mutant } from '../mutant.js';
import { INTX } from '../other-sessions.js';

const times = (count: number, once: (n: number) => void): void => {
  for (let n = 0; n < count; n++) once(n);
};
const FAR = 0x4000_0000n;
/** The I/O submission queue's doorbell, and the admin queue's. */
const [SQ0TDBL, SQ1TDBL] = [0x1000, 0x1008];

const mapAndUnmap = ({ s, container }: Context): void => {
  s.mapDma(container, { iova: FAR, size: 0x1000n }).unmapDma(container, { iova: FAR, size: 0x1000n });
};

export const PERFORMANCE_MUTANTS: readonly Mutant[] = [
  ...anywhere('PERF-001', 'a status register is polled', ({ s, device }) =>
    times(10_001, () => s.load(device, 0, 0x1c, 4, 1)),
  ),
  ...anywhere('PERF-002', 'a BAR that is mapped is read by system calls', ({ s, device }) =>
    times(101, () => s.regionRead(device, 0, 0x1c, 4, 1)),
  ),
  ...anywhere('PERF-003', 'a mapping for each request', (c) => times(101, () => mapAndUnmap(c))),
  mutant(
    'PERF-004',
    'one buffer in many pieces',
    before(
      'map DMA',
      ({ s, container }) =>
        times(17, (n) => s.mapDma(container, { iova: FAR + BigInt(n) * 0x1000n, size: 0x1000n })),
      before('unmap DMA', ({ s, container }) => s.unmapDma(container, { iova: FAR, size: 17n * 0x1000n })),
    ),
  ),
  ...anywhere('PERF-005', 'a doorbell for nothing', ({ s, device }) =>
    times(12, () => s.store(device, 0, SQ0TDBL, 4, 7)),
  ),
  ...anywhere('PERF-005', 'a doorbell for each entry', ({ s, device }) =>
    times(10_001, (n) => s.store(device, 0, SQ1TDBL, 4, n)),
  ),
  mutant(
    'PERF-006',
    'one line, where there are sixteen vectors',
    replaced(
      'irq info',
      ({ s, device }) => {
        for (const [at, count] of [1, 1, 16, 1, 1].entries()) s.irqInfo(device, at, count);
      },
      INTX,
    ),
  ),
  ...anywhere(
    'PERF-007',
    'INTx is unmasked by ioctl, again and again',
    ({ s, device, eventfds }) =>
      times(1001, () =>
        s
          .readEventfd(eventfds[0] as Opened)
          .load(device, 0, 0x1c, 4, 1)
          .setIrqs(device, { index: 0, flags: 0x11, count: 1 }),
      ),
    ['PERF-001'],
    INTX,
  ),
  ...anywhere('PERF-008', 'many more interrupts than work', ({ s, eventfds }) =>
    times(11, () => s.readEventfd(eventfds[0] as Opened, 1000n)),
  ),
  ...anywhere('PERF-009', 'the same question again and again', ({ s, device }) =>
    times(8, () => s.regionInfo(device, 0, { size: 0x4000n })),
  ),
  ...anywhere('PERF-010', 'a register in pieces', ({ s, device }) =>
    times(101, () => s.load(device, 0, 0x1c, 1, 1)),
  ),
  mutant(
    'PERF-011',
    'reset twice before it is used',
    before('stop first', ({ s, device }) => s.reset(device).reset(device)),
  ),
  mutant(
    'PERF-012',
    'mapping takes long',
    before(
      'map DMA',
      ({ s, container }) =>
        s
          .after(1e9)
          .mapDma(container, { iova: FAR, size: 16n * MIB, durationNs: 9_000_000 })
          .unmapDma(container, { iova: FAR, size: 16n * MIB }),
      CLEAN,
    ),
  ),
  ...anywhere('PERF-013', 'woken again and again, and never read', ({ s, eventfds }) =>
    times(101, () => s.wake(eventfds[1] as Opened)),
  ),
];
