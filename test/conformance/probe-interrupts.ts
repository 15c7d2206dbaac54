// SPDX-License-Identifier: Apache-2.0
import { IRQ_INDEXES, IRQ_SET, IRQ_SET_FLAGS } from '../../abi/vfio/irqs.js';
import { answer, hex, type LocalDriver, littleEndian, number } from '../../replayer/kernel/local-driver.js';
import type { Probe, Region } from './context.js';

const { DATA_NONE, DATA_BOOL, DATA_EVENTFD, ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER } = IRQ_SET_FLAGS.bits;
const { INTX, MSI, MSIX, ERR, REQ } = IRQ_INDEXES.values;

export interface Irqs {
  readonly flags: number;
  readonly start?: number;
  readonly count?: number;
  readonly fds?: readonly number[];
  readonly bools?: readonly number[];
  readonly argsz?: number;
}

export function setIrqs(driver: LocalDriver, device: number, index: number, irqs: Irqs): number {
  const { flags, start = 0, fds, bools, argsz } = irqs;
  const count = irqs.count ?? fds?.length ?? bools?.length ?? 0;
  const tail = Uint8Array.from(bools ?? (fds ?? []).flatMap((fd) => [...littleEndian(fd, 4)]));
  const values = { flags, index, start, count, ...(argsz === undefined ? {} : { argsz }) };
  return driver.ioctl(device, 'VFIO_DEVICE_SET_IRQS', IRQ_SET, values, { tail }).result;
}

export function probeInterrupts(probe: Probe): void {
  const { driver, device, irqCounts, report } = probe;
  const set = (index: number, irqs: Irqs) => answer(setIrqs(driver, device, index, irqs));
  const { fd, eventfd } = driver.process.eventfd();
  const eventfds = DATA_EVENTFD | ACTION_TRIGGER;
  const disable = { flags: DATA_NONE | ACTION_TRIGGER };
  const once = { flags: DATA_NONE | ACTION_TRIGGER, count: 1 };

  report('SET_IRQS index 9', set(9, disable));
  report('SET_IRQS data NONE|TRIGGER count 0 on INTx while unconfigured', set(INTX, disable));
  report('INTx: SET_IRQS eventfd', set(INTX, { flags: eventfds, fds: [fd] }));
  report('INTx: SET_IRQS eventfd again (replace)', set(INTX, { flags: eventfds, fds: [fd] }));
  report(
    'INTx: MSI enable while INTx active',
    set((irqCounts[MSI] ?? 0) > 0 ? MSI : MSIX, { flags: eventfds, fds: [fd] }),
  );
  report('INTx: software trigger (NONE|TRIGGER count1)', set(INTX, once));
  report('INTx: software trigger (NONE|TRIGGER count1): eventfd value', String(eventfd.read()));
  report('INTx: MASK NONE', set(INTX, { flags: DATA_NONE | ACTION_MASK, count: 1 }));
  report('INTx: UNMASK NONE', set(INTX, { flags: DATA_NONE | ACTION_UNMASK, count: 1 }));
  const unmask = driver.process.eventfd();
  report(
    'INTx: UNMASK eventfd (virqfd)',
    set(INTX, { flags: DATA_EVENTFD | ACTION_UNMASK, fds: [unmask.fd] }),
  );
  report('INTx: MASK eventfd', set(INTX, { flags: DATA_EVENTFD | ACTION_MASK, fds: [unmask.fd] }));
  report('INTx: eventfd = bad fd', set(INTX, { flags: eventfds, fds: [999] }));
  report('INTx: eventfd = device fd (not an eventfd)', set(INTX, { flags: eventfds, fds: [device] }));
  report('INTx: disable (NONE|TRIGGER count 0)', set(INTX, disable));
  report('INTx: MASK when disabled', set(INTX, { flags: DATA_NONE | ACTION_MASK, count: 1 }));
  if ((irqCounts[MSI] ?? 0) > 0) probeMessages(probe, 'MSI', MSI, 0x05);
  if ((irqCounts[MSIX] ?? 0) > 0) probeMessages(probe, 'MSI-X', MSIX, 0x11);
  report('ERR irq eventfd', set(ERR, { flags: eventfds, fds: [fd] }));
  report('REQ irq eventfd', set(REQ, { flags: eventfds, fds: [fd] }));
  report('REQ irq software trigger', set(REQ, once));
  report('REQ irq software trigger: eventfd', String(eventfd.read()));
}

function probeMessages(probe: Probe, word: string, index: number, capability: number): void {
  const { driver, device, irqCounts, regions, report } = probe;
  const set = (irqs: Irqs) => answer(setIrqs(driver, device, index, irqs));
  const count = irqCounts[index] ?? 0;
  const { fd, eventfd } = driver.process.eventfd();
  const flags = DATA_EVENTFD | ACTION_TRIGGER;
  report(`${word}: start beyond count`, set({ flags, start: count, fds: [fd] }));
  report(`${word}: count = info.count+1`, set({ flags, fds: Array.from({ length: count + 1 }, () => fd) }));
  report(`${word}: argsz too small for data`, set({ flags, fds: [fd], argsz: 20 }));
  report(`${word}: MASK action`, set({ flags: DATA_NONE | ACTION_MASK, count: 1 }));
  report(`${word}: enable 1 vector`, set({ flags, fds: [fd] }));
  const config = (regions[7] as Region).offset;
  const read = (at: number, width: number) => number(driver.pread(device, config + BigInt(at), width).bytes);
  let place = 0;
  for (let next = read(0x34, 1); next !== 0; next = read(next + 1, 1))
    if (read(next, 1) === capability) place = next;
  report(`${word}: cap flags after enable`, hex(read(place + 2, 2), 4));
  report(`${word}: software trigger vector 0`, set({ flags: DATA_NONE | ACTION_TRIGGER, count: 1 }));
  report(`${word}: software trigger vector 0: eventfd value`, String(eventfd.read()));
  report(`${word}: software trigger DATA_BOOL`, set({ flags: DATA_BOOL | ACTION_TRIGGER, bools: [1] }));
  report(`${word}: software trigger DATA_BOOL: eventfd value`, String(eventfd.read()));
  if (index === MSIX && count > 1) {
    const second = driver.process.eventfd();
    report(`${word}: add vector 1 dynamically while enabled`, set({ flags, start: 1, fds: [second.fd] }));
  }
  report(`${word}: detach vector 0 (fd -1)`, set({ flags, fds: [-1] }));
  report(
    `${word}: INTx enable while MSI active`,
    answer(setIrqs(driver, device, INTX, { flags, fds: [fd] })),
  );
  report(`${word}: disable`, set({ flags: DATA_NONE | ACTION_TRIGGER }));
  report(`${word}: disable again`, set({ flags: DATA_NONE | ACTION_TRIGGER }));
}
