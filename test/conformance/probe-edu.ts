// SPDX-License-Identifier: Apache-2.0
import { IRQ_INDEXES, IRQ_SET_FLAGS } from '../../abi/vfio/irqs.js';
import { DMA_MAP } from '../../abi/vfio/type1.js';
import { hex, number } from '../../replayer/kernel/local-driver.js';
import type { Probe, Region } from './context.js';
import { setIrqs } from './probe-interrupts.js';

const { DATA_NONE, DATA_EVENTFD, ACTION_UNMASK, ACTION_TRIGGER } = IRQ_SET_FLAGS.bits;
const { INTX, MSI } = IRQ_INDEXES.values;

/** A whole device at work: its interrupts by MSI and INTx, its DMA inside and outside of mappings. */
export function probeEdu(probe: Probe): void {
  const { kernel, driver, device, regions, physical, report } = probe;
  const { offset } = regions[0] as Region;
  const mapping = driver.mmap(device, { offset, length: 0x10_0000n, shared: true });
  if (typeof mapping === 'number') throw new Error('edu has no BAR');
  const load = (at: number) => mapping.load(at, 4) ?? 0n;
  const store = (at: number, value: bigint) => mapping.store(at, 4, value);
  store(0x04, 0x1234n);
  report('edu: id reg / liveness', `${hex(load(0))}  ~0x1234=${hex(load(0x04))}`);

  const { fd, eventfd } = driver.process.eventfd();
  const enable = { flags: DATA_EVENTFD | ACTION_TRIGGER, fds: [fd] };
  const disable = { flags: DATA_NONE | ACTION_TRIGGER };
  const unmask = { flags: DATA_NONE | ACTION_UNMASK, count: 1 };
  const raise = () => {
    store(0x60, 1n);
    kernel.settle();
    return String(eventfd.read());
  };
  setIrqs(driver, device, MSI, enable);
  report('edu MSI: raise -> eventfd', raise());
  store(0x64, 1n);
  report('edu MSI: raise again', raise());
  store(0x64, 1n);
  setIrqs(driver, device, MSI, disable);

  setIrqs(driver, device, INTX, enable);
  report('edu INTx: raise -> eventfd', `${raise()} (status reg ${hex(load(0x24))})`);
  const view = number(driver.pread(device, (regions[7] as Region).offset + 4n, 2).bytes);
  const action = 'edu INTx: COMMAND after (DisINTx bit 0x400 physical?)';
  report(action, `vfio view ${hex(view, 4)}`);
  report(`${action}: physical COMMAND while auto-masked`, hex(physical.read(4, 2), 4));
  report('edu INTx: raise again without unmask', raise());
  setIrqs(driver, device, INTX, unmask);
  report('edu INTx: UNMASK while still asserted -> fires again', String(eventfd.read()));
  store(0x64, 1n);
  setIrqs(driver, device, INTX, unmask);
  report('edu INTx: ack then UNMASK -> no event', String(eventfd.read()));
  setIrqs(driver, device, INTX, disable);
  if (!probe.noiommu) probeTransfer(probe, load, store);
  mapping.unmap();
}

function probeTransfer(
  { kernel, driver, container, report }: Probe,
  load: (at: number) => bigint,
  store: (at: number, value: bigint) => void,
): void {
  const { address, bytes } = driver.process.map(8192);
  const iova = 0x10_0000n;
  driver.ioctl(container, 'VFIO_IOMMU_MAP_DMA', DMA_MAP, { flags: 3, vaddr: address, iova, size: 8192n });
  const transfer = (source: bigint, destination: bigint, command: bigint) => {
    for (const [at, value] of [
      [0x80, source],
      [0x88, destination],
      [0x90, 4096n],
      [0x98, command],
    ] as const)
      store(at, value);
    kernel.settle();
  };
  for (let i = 0; i < 4096; i++) bytes[i] = (i * 7) & 0xff;
  transfer(iova, 0x4_0000n, 1n);
  transfer(0x4_0000n, iova + 4096n, 3n);
  const same = bytes.subarray(0, 4096).every((byte, i) => byte === bytes[4096 + i]);
  report('edu DMA roundtrip through IOMMU', same ? 'ok' : 'different');
  const faults = kernel.faults.count;
  transfer(0x4_0000n, 0x800_0000n, 3n);
  const reported = kernel.faults.count > faults ? ' (see dmesg DMAR fault)' : '';
  report('edu DMA to an unmapped iova', `completes silently, cmd=${hex(load(0x98))}${reported}`);
}
