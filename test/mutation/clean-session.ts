// SPDX-License-Identifier: Apache-2.0
/** A session of an NVMe driver that breaks no rule, as named steps: a mutant leaves one out, moves it, or puts one in. */

import { type Opened, RecordedSession } from '../../session/fixtures.js';
import { walkCapabilities } from '../capability-walk.js';

export const MIB = 0x10_0000n;
/** Where the mapped memory begins; not where the process has it. */
export const IOVA = 0x10_0000n;
const ASQ = IOVA;
const ACQ = IOVA + 0x1000n;
const VECTORS = 3;

/** What the steps hand on. */
export interface Context {
  readonly s: RecordedSession;
  container: Opened;
  group: Opened;
  device: Opened;
  bar: bigint;
  memory: bigint;
  eventfds: readonly Opened[];
  err: Opened;
  req: Opened;
  /** A second device of the group, in the sessions that have one. */
  other: Opened;
  /** Of the interface of 2010. */
  netlink: Opened;
}

export interface Step {
  readonly name: string;
  readonly run: (context: Context) => void;
}

const NONE: Opened = { object: 0, fd: -1 };

export const step = (name: string, run: (context: Context) => void): Step => ({ name, run });

/** Commands, completions and interrupts. */
const work = (name: string, from: number): Step =>
  step(name, ({ s, device, eventfds }) => {
    for (let n = from; n < from + 40; n++) {
      s.store(device, 0, 0x1000, 4, n);
      const eventfd = eventfds[0] as Opened;
      s.wake(eventfd).readEventfd(eventfd);
      s.load(device, 0, 0x1c, 4, 1).store(device, 0, 0x1004, 4, n);
    }
  });

export const CLEAN: readonly Step[] = [
  step('container', (c) => {
    c.container = c.s.container();
  }),
  step('version', ({ s, container }) => s.ioctl(container, 'VFIO_GET_API_VERSION')),
  step('extension', ({ s, container }) =>
    s.ioctl(container, 'VFIO_CHECK_EXTENSION', { argument: 3n, result: 1n }),
  ),
  step('group', (c) => {
    c.group = c.s.group();
  }),
  step('viable', ({ s, group }) => s.groupStatus(group)),
  step('set container', ({ s, group, container }) => s.setContainer(group, container)),
  step('set iommu', ({ s, container }) => s.setIommu(container)),
  step('device', (c) => {
    c.device = c.s.getDevice(c.group);
  }),
  step('info', ({ s, device }) => s.deviceInfo(device)),
  step('BAR info', ({ s, device }) => s.regionInfo(device, 0, { size: 0x4000n })),
  step('ROM info', ({ s, device }) => s.regionInfo(device, 6, { size: 0x800n, flags: 1 })),
  step('config info', ({ s, device }) => s.regionInfo(device, 7, { size: 0x1000n, flags: 3 })),
  step('irq info', ({ s, device }) => {
    for (const [index, count] of [1, 1, 16, 1, 1].entries()) s.irqInfo(device, index, count);
  }),
  step('walk', ({ s, device }) => walkCapabilities(s, device)),
  step('map BAR', (c) => {
    c.bar = c.s.map(c.device, 0, 0x2000n);
  }),
  step('stop first', ({ s, device }) => s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0)),
  step('memory', (c) => {
    c.memory = c.s.memory(MIB);
  }),
  step('map DMA', ({ s, container, memory }) =>
    s.mapDma(container, { iova: IOVA, vaddr: memory, size: MIB }),
  ),
  step('bus master', ({ s, device }) => s.configRead(device, 4, 2, 0x0402).configWrite(device, 4, 2, 0x0406)),
  step('AQA', ({ s, device }) => s.store(device, 0, 0x24, 4, 0x001f_001f)),
  step('ASQ', ({ s, device }) => s.store(device, 0, 0x28, 8, ASQ)),
  step('ACQ', ({ s, device }) => s.store(device, 0, 0x30, 8, ACQ)),
  step('enable', ({ s, device }) => s.store(device, 0, 0x14, 4, 0x0046_0001).load(device, 0, 0x1c, 4, 1)),
  step('eventfds', (c) => {
    c.eventfds = Array.from({ length: VECTORS }, () => c.s.eventfd());
    c.err = c.s.eventfd();
    c.req = c.s.eventfd();
  }),
  step('MSI-X', ({ s, device, eventfds }) => s.setIrqs(device, { index: 2, eventfds })),
  step('ERR and REQ', ({ s, device, err, req }) =>
    s.setIrqs(device, { index: 3, eventfds: [err] }).setIrqs(device, { index: 4, eventfds: [req] }),
  ),
  work('work 1', 1),
  work('work 2', 41),
  work('work 3', 81),
  step('stop', ({ s, device }) => s.store(device, 0, 0x14, 4, 0x0046_0000).load(device, 0, 0x1c, 4, 0)),
  step('interrupts off', ({ s, device }) => {
    for (const index of [2, 3, 4]) s.setIrqs(device, { index });
  }),
  step('bus master off', ({ s, device }) =>
    s.configRead(device, 4, 2, 0x0406).configWrite(device, 4, 2, 0x0402),
  ),
  step('unmap DMA', ({ s, container }) => s.unmapDma(container, { iova: IOVA, size: MIB })),
  step('free memory', ({ s, memory }) => s.unmap(memory, MIB)),
  step('unmap BAR', ({ s, bar }) => s.unmap(bar, 0x2000n)),
  step('close eventfds', ({ s, eventfds, err, req }) => {
    for (const eventfd of [...eventfds, err, req]) s.close(eventfd);
  }),
  step('close device', ({ s, device }) => s.close(device)),
  step('unset container', ({ s, group }) => s.ioctl(group, 'VFIO_GROUP_UNSET_CONTAINER')),
  step('close group', ({ s, group }) => s.close(group)),
  step('close container', ({ s, container }) => s.close(container)),
  step('exit', ({ s }) => s.exit()),
];

export function record(steps: readonly Step[]): RecordedSession {
  const s = new RecordedSession();
  const context: Context = {
    s,
    container: NONE,
    group: NONE,
    device: NONE,
    bar: 0n,
    memory: 0n,
    eventfds: [],
    err: NONE,
    req: NONE,
    other: NONE,
    netlink: NONE,
  };
  for (const { run } of steps) run(context);
  return s;
}

const at = (steps: readonly Step[], name: string): number => {
  const index = steps.findIndex((one) => one.name === name);
  if (index < 0) throw new Error(`no step ${name}`);
  return index;
};

/** CLEAN, or another session, without these steps; the functions below likewise. */
export const without = (names: readonly string[], steps = CLEAN): readonly Step[] => {
  for (const name of names) at(steps, name);
  return steps.filter(({ name }) => !names.includes(name));
};

export const moved = (name: string, to: string, steps = CLEAN): readonly Step[] => {
  const rest = without([name], steps);
  const index = at(rest, to);
  return [...rest.slice(0, index), steps[at(steps, name)] as Step, ...rest.slice(index)];
};

export const replaced = (name: string, run: (context: Context) => void, steps = CLEAN): readonly Step[] => {
  at(steps, name);
  return steps.map((one) => (one.name === name ? step(name, run) : one));
};

export const before = (name: string, run: (context: Context) => void, steps = CLEAN): readonly Step[] => {
  const index = at(steps, name);
  return [...steps.slice(0, index), step('put in', run), ...steps.slice(index)];
};
