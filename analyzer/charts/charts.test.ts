// SPDX-License-Identifier: Apache-2.0
/** The charts of a session: what they say of sessions whose figures are known. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { RecordedSession } from '../../session/fixtures.js';
import { openTrace } from '../../traces/reader.js';
import { statistics } from '../performance/statistics.js';
import type { Chart } from './chart.js';
import { DmaAreas } from './dma-areas.js';
import { WIDTHS } from './frame/canvas.js';
import { renderSvg } from './frame/svg.js';
import { TimeBins } from './frame/time-bins.js';
import { timeSpanText } from './frame/units.js';
import { sessionSection } from './session.js';

const CORPUS = join(packageRoot(), 'traces/corpus');

async function charts(session: RecordedSession): Promise<ReadonlyMap<string, Chart>> {
  const trace = await session.trace();
  try {
    const list = sessionSection(trace).flatMap((section) => section.charts);
    return new Map(list.map((chart) => [chart.id, chart]));
  } finally {
    trace.close();
  }
}

function rows(all: ReadonlyMap<string, Chart>, id: string): readonly string[] {
  return (all.get(id)?.table.rows ?? []).map((row) => row.join(' | '));
}

/** Elements that are drawn. */
function marks(chart: Chart): number {
  const svg = renderSvg(chart, WIDTHS.wide, 'page');
  return svg.match(/<(rect|path|line|circle|text)\b/g)?.length ?? 0;
}

test('a session in which nothing was done has no charts', async () => {
  assert.deepEqual([...(await charts(new RecordedSession())).keys()], []);
});

test('writes to configuration space: by register, and whether they changed something', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.configRead(device, 4, 2, 0x0002);
  s.configWrite(device, 4, 2, 0x0006).configWrite(device, 4, 2, 0x0002);
  s.configWrite(device, 0x3c, 1, 11, 22);
  const all = await charts(s);
  assert.deepEqual(rows(all, 'config-writes'), [
    '0x04 Command | 1 | 1 | 0',
    '0x3c InterruptLine | 0 | 0 | 1',
  ]);
  assert.match(
    all.get('config-writes')?.summary ?? '',
    /^3 writes to 2 registers; most to 0x04 Command \(2\)/,
  );
});

test('mapped memory: the peak, and what is left', async () => {
  const s = new RecordedSession();
  const { container } = s.openNvme();
  s.mapDma(container, { iova: 0x1000n, size: 0x1000n });
  s.mapDma(container, { iova: 0x10_0000n, size: 0x10_0000n, flags: 1 });
  s.mapDma(container, { iova: 0x20_0000n, size: 0x1000n, errno: 12 });
  s.unmapDma(container, { iova: 0x10_0000n, size: 0x10_0000n });
  const all = await charts(s);
  assert.deepEqual(rows(all, 'dma-memory'), ['container0 | 1.00 MiB | 2 | 2 times | 1 time | 4 KiB']);
  const memory = renderSvg(all.get('dma-memory') as Chart, WIDTHS.wide, 'page');
  const read = [...memory.matchAll(/<title>container0: ([^<]*)<\/title>/g)].map(([, text]) => text as string);
  // The least and the most in each part of the time.
  assert.deepEqual(read, [
    '0 bytes',
    '0 bytes to 4 KiB',
    '0 bytes to 1.00 MiB',
    '4 KiB to 1.00 MiB',
    '1.00 MiB',
    '4 KiB to 1.00 MiB',
  ]);
  assert.deepEqual(
    rows(all, 'dma-iova').map((row) => row.split(' | ').slice(0, 5).join(' | ')),
    ['0x100000 | 0x1fffff | 1 MiB | read | 1 time', '0x1000 | 0x1fff | 4 KiB | read and write | 1 time'],
  );
});

test('interrupts: what the counters say, vectors that never fired, and those that KVM takes', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  const [a, b] = [s.eventfd(), s.eventfd()];
  s.setIrqs(device, { index: 2, eventfds: [a, b] });
  s.wake(a).readEventfd(a, 3n).wake(a).readEventfd(a, 1n);
  const all = await charts(s);
  assert.deepEqual(rows(all, 'interrupts'), [
    'MSIX[0] | 4 | 2 | 2 | by the driver',
    'MSIX[1] | 0 | 0 | 0 | by the driver',
  ]);
  assert.match(all.get('interrupts')?.summary ?? '', /4 interrupts of 2 vectors .*; 1 never signalled/);
});

test('a vector that KVM takes is not called silent', () => {
  const trace = openTrace(join(CORPUS, 'qemu/nested-kvm.vtape'));
  const chart = sessionSection(trace)[0]?.charts.find(({ id }) => id === 'interrupts');
  const inKernel = statistics(trace).interrupts.filter((vector) => vector.in_kernel);
  trace.close();
  assert.deepEqual(
    chart?.table.rows.map(([vector, signalled, , , seen]) => `${vector} ${signalled} ${seen}`),
    ['INTX[0] 0 in part or not: KVM listened', 'ERR[0] 0 by the driver', 'REQ[0] 0 by the driver'],
  );
  assert.match(chart?.summary ?? '', /; 2 never signalled; 1 went straight to KVM, /);
  assert.deepEqual(
    inKernel.map(({ vector }) => vector),
    ['INTX[0]'],
  );
});

test('where several devices were opened, each row says which one it is of', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.openNvme();
  s.setIrqs(device, { index: 2, eventfds: [s.eventfd()] }).configWrite(device, 0x3c, 1, 11);
  const all = await charts(s);
  assert.match(rows(all, 'interrupts')[0] ?? '', /^device0 MSIX\[0\] /);
  assert.match(rows(all, 'config-writes')[0] ?? '', /^device0 0x3c InterruptLine /);
  assert.match(all.get('phases')?.summary ?? '', /^device0 \S+: open .*; device1 \S+: open /);
});

test('a phase that ends with the recording is drawn inside the plot', async () => {
  const trace = openTrace(join(CORPUS, 'qemu/nested-kvm.vtape'));
  const chart = sessionSection(trace)[0]?.charts.find(({ id }) => id === 'phases') as Chart;
  trace.close();
  const svg = renderSvg(chart, WIDTHS.wide, 'page');
  const width = Number(/data-width="([\d.]+)"/.exec(svg)?.[1]);
  const bars = [...svg.matchAll(/<rect class="c\d" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)];
  assert.ok(bars.length > 5 && width > 0);
  for (const [, x, w] of bars) assert.ok(Number(x) + Number(w) <= width + 0.01, `${x} + ${w}, ${width}`);
});

test('a driver that maps and unmaps all the time is drawn with few marks', async () => {
  const s = new RecordedSession();
  const { container } = s.openNvme();
  for (let i = 0; i < 20_000; i++) {
    const iova = BigInt(i % 5000) * 0x3000n;
    s.mapDma(container, { iova, size: 0x1000n }).unmapDma(container, { iova, size: 0x1000n });
  }
  for (const chart of (await charts(s)).values()) {
    assert.ok(marks(chart) < 4000, `${chart.id}: ${marks(chart)}`);
    assert.ok(chart.table.rows.length <= 200, chart.id);
  }
});

test('bins keep the least and the greatest value of a time, and what it was at last', () => {
  const bins = new TimeBins(4, 10);
  const steps = () => bins.steps().map(({ time, least, most }) => [time, least, most]);
  bins.set(5, 1);
  bins.set(12, 9);
  bins.set(13, 2);
  assert.deepEqual(steps(), [
    [0, 0, 1],
    [10, 1, 9],
    [20, 2, 2],
  ]);
  // Bins of 20 now.
  bins.set(65, 3);
  assert.deepEqual(steps(), [
    [0, 0, 9],
    [20, 2, 2],
    [60, 2, 3],
    [80, 3, 3],
  ]);
  // What was before belongs to the latest bin.
  bins.set(1, 7);
  assert.deepEqual(steps(), [
    [0, 0, 9],
    [20, 2, 2],
    [60, 2, 7],
    [80, 7, 7],
  ]);
});

test('areas that are too many are put together with their neighbours, and are still mapped as long', () => {
  const areas = new DmaAreas();
  const mapping = (i: number) => ({
    start: BigInt(i) * 0x2000n,
    length: 0x1000n,
    address: 0n,
    readable: true,
    writable: true,
  });
  for (let i = 0; i < 5000; i++) areas.map(mapping(i), i);
  for (let i = 0; i < 5000; i++) areas.unmap(mapping(i), 10_000);
  const few = areas.areas(100, 10_000);
  assert.equal(few.length, 100);
  assert.equal(
    few.reduce((sum, { maps }) => sum + maps, 0),
    5000,
  );
  assert.ok(few.every(({ open, lives }) => open === 0 && lives.every(({ to }) => to === 10_000)));
  // 0x1000 bytes of each, from when it was mapped.
  assert.equal(
    few.flatMap(({ lives }) => lives).reduce((sum, { held }) => sum + held, 0),
    0x1000 * (10_000 * 5000 - (5000 * 4999) / 2),
  );
  assert.equal(few[0]?.start, 0n);
  assert.equal(few.at(-1)?.end, 4999n * 0x2000n + 0x1000n);
});

test('areas that come one after the other grow alike, and know that little of them was mapped at a time', () => {
  const areas = new DmaAreas();
  for (let i = 0; i < 50_000; i++) {
    const mapping = {
      start: BigInt(i) * 0x1000n,
      length: 0x1000n,
      address: 0n,
      readable: true,
      writable: true,
    };
    areas.map(mapping, 10 * i);
    areas.unmap(mapping, 10 * i + 5);
  }
  const list = areas.areas(200, 500_000);
  const sizes = list.map(({ start, end }) => Number((end - start) / 0x1000n));
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    50_000,
  );
  assert.ok(Math.max(...sizes) <= 4 * Math.min(...sizes), `${Math.min(...sizes)} to ${Math.max(...sizes)}`);
  for (const { start, end, lives } of list) {
    const held = lives.reduce((sum, life) => sum + life.held, 0);
    assert.equal(held, Number(end - start) * 5);
  }
});

for (const name of readdirSync(CORPUS, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.vtape'),
)) {
  test(`the chart of the phases and the statistics say the same of ${name}`, () => {
    const trace = openTrace(join(CORPUS, name));
    const rows = new Map<string, { from: number; ns: number; times: number }>();
    for (const { object, phase, from_ns, duration_ns } of statistics(trace).phases) {
      const row = rows.get(`${object} ${phase}`) ?? { from: from_ns, ns: 0, times: 0 };
      rows.set(`${object} ${phase}`, { ...row, ns: row.ns + duration_ns, times: row.times + 1 });
    }
    const chart = sessionSection(trace)[0]?.charts.find(({ id }) => id === 'phases');
    trace.close();
    assert.ok(rows.size > 4);
    assert.deepEqual(
      chart?.table.rows
        .map(([device, phase, ...figures]) => [`${String(device).split(' ')[0]} ${phase}`, ...figures])
        .sort(),
      [...rows]
        .map(([key, { from, ns, times }]) => [key, timeSpanText(from), timeSpanText(ns), String(times)])
        .sort(),
    );
  });
}
