// SPDX-License-Identifier: Apache-2.0
/** How often each vector was signalled, as far as the driver saw it. */

import { decode } from '../../abi/layout.js';
import { IRQ_SET, irqIndexName, irqSetDescriptors } from '../../abi/vfio/irqs.js';
import type { Chart, ChartMaker } from './chart.js';
import { devicePrefix } from './device-prefix.js';
import { bars, barsHeight } from './frame/bars.js';
import { countText } from './frame/units.js';

interface Vector {
  readonly device: number;
  readonly index: number;
  readonly vector: number;
  /** What the eventfd's counter held when it was read, in all. */
  signalled: number;
  reads: number;
  wakes: number;
  inKernel: boolean;
}

const ROWS = 64;
/** A hostile trace may name any. */
const VECTORS_MAX = 8192;

export const interrupts: ChartMaker = (story) => {
  const vectors = new Map<string, Vector>();
  const vectorOf = (device: number, index: number, vector: number): Vector | undefined => {
    const key = `${device}/${index}/${vector}`;
    let found = vectors.get(key);
    if (found === undefined && vectors.size < VECTORS_MAX) {
      found = { device, index, vector, signalled: 0, reads: 0, wakes: 0, inKernel: false };
      vectors.set(key, found);
    }
    return found;
  };
  /** What goes to KVM wakes nobody: no event tells of it. */
  const toKernel = () => {
    for (const { role, device, index, vector } of story.session.interrupts.kernelRoutes()) {
      const found = role === 'trigger' ? vectorOf(device, index, vector) : undefined;
      if (found !== undefined) found.inKernel = true;
    }
  };
  return {
    ioctl: {
      KVM_IRQFD: toKernel,
      VFIO_DEVICE_SET_IRQS: ({ device, before, ok }) => {
        if (device === undefined || !ok) return;
        const { index = 0, start = 0 } = decode(IRQ_SET, before);
        irqSetDescriptors(before).forEach((fd, i) => {
          if (fd >= 0) vectorOf(device.id, index, start + i);
        });
        toKernel();
      },
    },
    eventfd: ({ route }) => {
      if (route?.role !== 'trigger') return undefined;
      const vector = vectorOf(route.device, route.index, route.vector);
      if (vector === undefined) return undefined;
      return (row, action) => {
        if (action === 'wake') vector.wakes++;
        else if (action === 'read' && row.errno === 0) {
          vector.reads++;
          vector.signalled += row.low + row.high * 0x1_0000_0000;
        }
      };
    },
    charts: () =>
      vectors.size === 0 ? [] : [draw([...vectors.values()], (device) => devicePrefix(story, device))],
  };
};

/** A driver that sleeps in epoll need not read the counter: then each wake-up is one. */
function seen({ signalled, wakes, reads }: Vector): number {
  return reads > 0 ? signalled : wakes;
}

/** `prefix`: of names, where there are several devices. */
function draw(vectors: readonly Vector[], prefix: (device: number) => string): Chart {
  const total = vectors.reduce((sum, one) => sum + seen(one), 0);
  const silent = vectors.filter((one) => seen(one) === 0 && !one.inKernel).length;
  const inKernel = vectors.filter((one) => one.inKernel).length;
  const order = (a: Vector, b: Vector) => a.device - b.device || a.index - b.index || a.vector - b.vector;
  const shown = [...vectors]
    .sort((a, b) => seen(b) - seen(a))
    .slice(0, ROWS)
    .sort(order);
  const name = ({ device, index, vector }: Vector) => `${prefix(device)}${irqIndexName(index)}[${vector}]`;
  const left = vectors.length - shown.length;
  return {
    id: 'interrupts',
    title: 'Interrupts, by vector',
    summary: [
      `${countText(total, 'interrupt')} of ${countText(vectors.length, 'vector')} that had an eventfd`,
      ...(silent > 0 ? [`${countText(silent)} never signalled`] : []),
      ...(inKernel > 0
        ? [`${countText(inKernel)} went straight to KVM, where the recorder sees nothing`]
        : []),
    ]
      .join('; ')
      .concat('.'),
    table: {
      columns: [
        { name: 'vector' },
        { name: 'signalled', numeric: true },
        { name: 'reads of the eventfd', numeric: true },
        { name: 'wake-ups', numeric: true },
        { name: 'seen' },
      ],
      rows: shown.map((one) => [
        name(one),
        countText(seen(one)),
        countText(one.reads),
        countText(one.wakes),
        one.inKernel ? 'in part or not: KVM listened' : 'by the driver',
      ]),
      ...(left > 0 && { rest: `${countText(left, 'more vector')} with fewer interrupts` }),
    },
    height: barsHeight(shown.length),
    draw(canvas) {
      bars(
        canvas,
        shown.map((one) => ({
          name: name(one),
          parts: [{ value: seen(one), mark: 'c1' }],
          label: one.inKernel ? `${countText(seen(one))} seen, others to KVM` : countText(seen(one)),
        })),
      );
    },
  };
}
