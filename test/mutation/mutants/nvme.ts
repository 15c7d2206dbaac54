// SPDX-License-Identifier: Apache-2.0
/** What can be done wrong to the session of an NVMe driver. */
import { before, CLEAN, IOVA, MIB, moved, replaced, type Step, without } from '../clean-session.js';
import { anywhere, type Mutant, mutant } from '../mutant.js';

const [EAGAIN, ENOMEM, EEXIST, EINVAL, ENOTTY, EBADF] = [11, 12, 17, 22, 25, 9];

const LEFT_OUT: readonly Mutant[] = [
  mutant(
    'RST-001',
    'the reset is dropped',
    replaced('info', ({ s, device }) => s.deviceInfo(device, 2)).filter(({ name }) => name !== 'stop first'),
  ),
  mutant('LIF-001', 'nobody asks for the version and the type', without(['version', 'extension'])),
  mutant('LIF-002', 'nobody asks whether the group is viable', without(['viable'])),
  mutant('BAR-001', 'nobody asks where the BAR is', without(['BAR info']), ['BAR-003']),
  mutant('IRQ-001', 'nobody asks for the vectors', without(['irq info'])),
  mutant('DMA-003', 'bus mastering is never switched on', without(['bus master', 'bus master off'])),
  mutant('CLN-002', 'interrupts are left enabled', without(['interrupts off'])),
  mutant(
    'DMA-002',
    'the device is closed at work',
    without(['stop', 'bus master off', 'unmap DMA', 'free memory']),
    ['BAR-010', 'CLN-001'],
  ),
  mutant('CLN-001', 'a mapping is left', without(['unmap DMA', 'free memory'])),
  mutant(
    'CLN-006',
    'the process just ends',
    without(
      CLEAN.slice(
        CLEAN.findIndex(({ name }) => name === 'stop'),
        -1,
      ).map(({ name }) => name),
    ),
    ['CLN-001'],
  ),
];

const MOVED: readonly Mutant[] = [
  mutant('DMA-001', 'bus mastering comes before the memory', moved('bus master', 'memory')),
  mutant('DMA-002', 'the queues are unmapped before the device is stopped', moved('unmap DMA', 'stop')),
  mutant('DMA-005', 'the queues are unmapped while there is work', moved('unmap DMA', 'work 3')),
  mutant(
    'DMA-015',
    'memory is unmapped late: it was given away while it was mapped',
    moved('free memory', 'work 3'),
  ),
  mutant('DMA-004', 'the controller is enabled before the memory is mapped', moved('map DMA', 'eventfds'), [
    'DMA-001',
  ]),
  mutant(
    'BAR-012',
    'a doorbell is rung before there are queues',
    before('AQA', ({ s, device }) => s.store(device, 0, 0x1000, 4, 1)),
  ),
  mutant('IRQ-008', 'the eventfds are closed while they are in use', moved('close eventfds', 'work 1')),
  mutant('CLN-003', 'the device is closed before its BAR is unmapped', [
    ...without(['unmap BAR']).slice(0, -1),
    { name: 'late', run: ({ s }) => s.after(2e9) },
    CLEAN.at(-1) as Step,
  ]),
  mutant('CLN-004', 'the container is closed first', moved('close container', 'close device'), ['CLN-001']),
];

const CHANGED: readonly Mutant[] = [
  mutant(
    'DMA-006',
    'a size that is no page',
    before('map DMA', ({ s, container, memory }) =>
      s.mapDma(container, { iova: 0n, vaddr: memory, size: 0x800n, errno: EINVAL }),
    ),
  ),
  mutant(
    'DMA-004',
    'the address of the process for the IOVA',
    replaced('ASQ', ({ s, device, memory }) => s.store(device, 0, 0x28, 8, memory)),
  ),
  mutant(
    'DMA-008',
    'memory that could not be locked is used',
    replaced('map DMA', ({ s, container, memory }) =>
      s.mapDma(container, { iova: IOVA, vaddr: memory, size: MIB, errno: ENOMEM }),
    ).filter(({ name }) => name !== 'unmap DMA'),
    ['DMA-001', 'DMA-004'],
  ),
  mutant(
    'DMA-017',
    'a mapping before there is an IOMMU',
    before('set iommu', ({ s, container }) => s.mapDma(container, { iova: 0n, size: MIB, errno: EINVAL })),
  ),
  mutant(
    'DMA-012',
    'the flags of the mapping for the unmapping',
    before('unmap DMA', ({ s, container }) =>
      s.unmapDma(container, { iova: IOVA, size: MIB, flags: 3, errno: EINVAL }),
    ),
  ),
  mutant(
    'IRQ-003',
    'argsz without the eventfds',
    before('MSI-X', ({ s, device, eventfds }) =>
      s.setIrqs(device, { index: 2, eventfds, argsz: 20, errno: EINVAL }),
    ),
  ),
  mutant(
    'IRQ-004',
    'a descriptor that is none',
    before('MSI-X', ({ s, device }) => {
      const request = new Int32Array([24, 0x24, 2, 0, 1, 77]);
      s.ioctl(device, 'VFIO_DEVICE_SET_IRQS', { before: new Uint8Array(request.buffer), errno: EBADF });
    }),
  ),
  mutant(
    'INTX-005',
    'two INTx vectors',
    before('MSI-X', ({ s, device }) => s.setIrqs(device, { index: 0, eventfds: [-1, -1], errno: EINVAL })),
  ),
  mutant(
    'RST-007',
    'a reset fails, and nobody looks',
    before('AQA', ({ s, device }) => s.reset(device, EAGAIN)),
  ),
];

const PUT_IN: readonly Mutant[] = [
  ...anywhere('MSI-003', 'a store into the MSI-X table', ({ s, device }) => s.store(device, 0, 0x2000, 4, 1)),
  ...anywhere('MSI-004', 'a store into the pending bits', ({ s, device }) =>
    s.store(device, 0, 0x3000, 8, 0),
  ),
  ...anywhere('MSI-001', 'the MSI address is written', ({ s, device }) =>
    s.configWrite(device, 0x54, 4, 0xfee0_0000),
  ),
  ...anywhere('MSI-002', 'MSI-X is enabled by its register', ({ s, device }) =>
    s.configWrite(device, 0x72, 2, 0x800f),
  ),
  ...anywhere('MSI-005', 'the MSI-X table is read by its descriptor', ({ s, device }) =>
    s.regionRead(device, 0, 0x2000, 4, 0xffff_ffff),
  ),
  ...anywhere('CFG-001', 'a BAR is moved', ({ s, device }) => s.configWrite(device, 0x10, 4, 0xe000_0000)),
  ...anywhere('CFG-002', 'the vendor is written', ({ s, device }) => s.configWrite(device, 0, 2, 0x8086)),
  ...anywhere('CFG-008', 'the interrupt line is written', ({ s, device }) =>
    s.configWrite(device, 0x3c, 1, 11),
  ),
  ...anywhere(
    'CFG-006',
    'memory is switched off with the rest of Command',
    ({ s, device }) => s.after(2e9).configWrite(device, 4, 2, 0x0004).configWrite(device, 4, 2, 0x0406),
    ['INTX-004'],
  ),
  ...anywhere('INTX-004', 'Interrupt Disable is cleared', ({ s, device }) =>
    s.configRead(device, 4, 2, 0x0406).configWrite(device, 4, 2, 0x0006).after(20e6),
  ),
  ...anywhere('BAR-005', 'a store that is not aligned', ({ s, device }) => s.store(device, 0, 0x1001, 4, 1), [
    'BAR-012',
  ]),
  ...anywhere('BAR-006', 'a vector store to registers', ({ s, device }) => s.store(device, 0, 0x40, 16, 1)),
  ...anywhere('BAR-004', 'a load past the end', ({ s, device }) => s.load(device, 0, 0x4100, 4, 0)),
  ...anywhere('BAR-007', 'a write to the ROM', ({ s, device }) => s.regionWrite(device, 6, 0, 4, 1, EINVAL)),
  ...anywhere(
    'LIF-007',
    'a load in D3',
    ({ s, device }) =>
      s.configWrite(device, 0x44, 2, 0x000b).load(device, 0, 0x1c, 4, 0).configWrite(device, 0x44, 2, 0x0008),
    [
      // On its way back the function is reset, and what was set up is gone.
      'BAR-012',
      'CFG-009',
      'RST-003',
    ],
  ),
  ...anywhere('LIF-006', 'a load while the device sleeps', ({ s, device }) =>
    s.feature(device, 3).load(device, 0, 0x1c, 4, 0).feature(device, 5),
  ),
  ...anywhere('DMA-009', 'an overlap is refused, and nobody looks', ({ s, container, device }) =>
    s
      .mapDma(container, { iova: IOVA, vaddr: 0x7fa0_0000_0000n, size: 0x1000n, errno: EEXIST })
      .load(device, 0, 0x1c, 4, 1),
  ),
  ...anywhere('DMA-011', 'a part of a mapping is unmapped', ({ s, container }) =>
    s.unmapDma(container, { iova: IOVA + 0x8000n, size: 0x1000n, errno: EINVAL }),
  ),
  ...anywhere('DMA-018', 'the BAR is mapped for DMA', ({ s, container, bar }) =>
    s
      .mapDma(container, { iova: 0x4000_0000n, vaddr: bar, size: 0x2000n })
      .unmapDma(container, { iova: 0x4000_0000n, size: 0x2000n }),
  ),
  ...anywhere('DMA-016', 'a fork', ({ s }) => s.fork(4711)),
  ...anywhere(
    'IRQ-001',
    'more vectors than there are',
    ({ s, device, eventfds }) =>
      s.setIrqs(device, { index: 2, start: 15, eventfds: eventfds.slice(0, 2), errno: EINVAL }),
    [
      // The same two of them are not all that could grow.
      'IRQ-005',
    ],
  ),
  ...anywhere('IRQ-002', 'MSI while MSI-X is enabled', ({ s, device, req }) =>
    s.setIrqs(device, { index: 1, eventfds: [req], errno: EINVAL }),
  ),
  ...anywhere('IRQ-005', 'one vector more', ({ s, device }) =>
    s.setIrqs(device, { index: 2, start: 3, eventfds: [-1], errno: EINVAL }),
  ),
  ...anywhere('IRQ-006', 'MSI-X is unmasked', ({ s, device }) =>
    s.setIrqs(device, { index: 2, flags: 0x11, count: 1, errno: ENOTTY }),
  ),
  ...anywhere('IRQ-009', 'two vectors share an eventfd', ({ s, device, eventfds }) =>
    s.setIrqs(device, { index: 2, start: 1, eventfds: eventfds.slice(0, 1) }),
  ),
  ...anywhere('IRQ-010', 'an interrupt by the driver', ({ s, device }) =>
    s.setIrqs(device, { index: 2, count: 1 }),
  ),
  ...anywhere('REQ-002', 'the device is asked for, and kept', ({ s, req }) => s.readEventfd(req).after(10e9)),
];

export const NVME_MUTANTS: readonly Mutant[] = [...LEFT_OUT, ...MOVED, ...CHANGED, ...PUT_IN];
