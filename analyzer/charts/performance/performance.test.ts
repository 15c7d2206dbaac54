// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordedSession } from '../../../session/fixtures.js';
import { Histogram } from '../../performance/histogram.js';
import { statistics } from '../../performance/statistics.js';
import type { Chart } from '../chart.js';
import { WIDTHS } from '../frame/canvas.js';
import { renderSvg } from '../frame/svg.js';
import { timeSpanText } from '../frame/units.js';
import { distributionChart } from './latency.js';
import { performanceSection } from './section.js';

async function charts(session: RecordedSession): Promise<ReadonlyMap<string, Chart>> {
  const trace = await session.trace();
  try {
    return new Map(
      performanceSection(trace).flatMap((section) => section.charts.map((chart) => [chart.id, chart])),
    );
  } finally {
    trace.close();
  }
}

function busy(rounds: number): RecordedSession {
  const s = new RecordedSession();
  const { container, device } = s.openNvme();
  s.load(device, 0, 0, 8, 0x20_0000_0fffn);
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  for (let n = 0; n < rounds; n++) {
    s.store(device, 0, 0x1008, 4, n);
    s.after(1000 * (n % 50))
      .wake(eventfd)
      .readEventfd(eventfd);
    s.store(device, 0, 0x100c, 4, n);
    s.after(10_000).mapDma(container, { iova: BigInt(n) * 4096n, size: 4096n, durationNs: 1000 + n });
  }
  return s;
}

test('an empty session has no charts', async () => {
  assert.deepEqual([...(await charts(new RecordedSession())).keys()], []);
});

test('the charts say what happened', async () => {
  const all = await charts(busy(100));
  assert.deepEqual(
    [...all.keys()],
    ['latency', 'latency-cumulative', 'rate', 'lanes', 'registers', 'doorbell-to-interrupt'],
  );
  const rows = (id: string): readonly string[] =>
    (all.get(id)?.table.rows ?? []).map((row) => row.join(' | '));
  assert.match(rows('latency')[0] ?? '', /^VFIO_IOMMU_MAP_DMA \| 100 \| /);
  assert.ok(rows('rate').some((row) => row.startsWith('stores | 200 | ')));
  assert.deepEqual(
    rows('lanes').filter((row) => !row.startsWith('thread')),
    ['queue | device0 queue 1 | 100', 'vector | device0 MSIX[0] | 100'],
  );
  assert.ok(rows('registers').includes('register | device0 SQ1TDBL | 100'));
  const summary = (id: string): string => all.get(id)?.summary ?? '';
  assert.match(
    summary('doorbell-to-interrupt'),
    /^100 doorbells answered .* one in a hundred after more than/,
  );
  assert.match(summary('lanes'), /^1 thread, 1 queue, 1 vector; most in /);
  assert.match(summary('latency'), /^The operation that takes the most time; VFIO_IOMMU_MAP_DMA takes /);
  assert.match(summary('latency-cumulative'), /^One call in a hundred of .* The longest call is one of /);
  const legend = /<text[^>]*>up to [\d,]+ events in [\d.]+ µs</;
  assert.match(renderSvg(all.get('lanes') as Chart, WIDTHS.wide, 'page'), legend);
});

test('the section says what the recording took, and has the tables that no chart shows', async () => {
  const trace = await busy(100).trace();
  const [section] = performanceSection(trace);
  const found = statistics(trace);
  trace.close();
  assert.match(
    section?.text.join('\n') ?? '',
    /^What the recording itself took .* % of the recorded time\. .*\n(.*\n)?.*no latency\.$/,
  );
  assert.deepEqual(
    section?.tables.map(({ title, rows }) => [title.split(/[ :]/)[0], rows.length]),
    [
      ['Queues', found.queues.length],
      ['Mapping', found.mappings.length],
      ['From', found.openings.length],
    ],
  );
});

test('the chart of doorbells says of all of them what statistics say', async () => {
  const trace = await busy(4000).trace();
  const chart = performanceSection(trace)[0]?.charts.find(({ id }) => id === 'doorbell-to-interrupt');
  const [queue] = statistics(trace).queues;
  trace.close();
  const { p50_ns = 0, p99_ns = 0, max_ns = 0 } = queue?.doorbell_to_wake ?? {};
  assert.deepEqual(chart?.table.rows, [
    ['device0 queue 1', '4,000', ...[p50_ns, p99_ns, max_ns].map(timeSpanText)],
  ]);
});

test('of a few calls no part in a hundred is told', async () => {
  const all = await charts(busy(3));
  assert.match(
    all.get('doorbell-to-interrupt')?.summary ?? '',
    /^3 doorbells answered .*; from \S+ µs to \S+ µs\./,
  );
  assert.match(all.get('latency-cumulative')?.summary ?? '', /^The longest call is one of /);
});

test('a wake-up is not taken for work', () => {
  const latency = new Histogram();
  latency.add(5_000_000);
  const { summary } = distributionChart(['wake', 'mmap'].map((name) => ({ name, latency })));
  assert.match(summary, /^The 2 operations that take .* wake is the sleep until an interrupt came\./);
});

test('marks stay few, and each width can be drawn', async () => {
  const all = await charts(busy(4000));
  for (const chart of all.values()) {
    for (const width of Object.values(WIDTHS)) {
      const svg = renderSvg(chart, width, 'page');
      const marks = svg.match(/<(rect|path|line|circle|text)\b/g)?.length ?? 0;
      assert.ok(marks > 3 && marks < 3000, `${chart.id}: ${marks} marks`);
      assert.doesNotMatch(svg, /NaN|undefined|Infinity/);
    }
  }
  assert.match(
    all.get('doorbell-to-interrupt')?.summary ?? '',
    /1,500 doorbells? of them|1,500 of them, at random/,
  );
});

test('accesses that were not patched are marked', async () => {
  const s = busy(3);
  const { device } = s.openNvme();
  // How it was caught is in bits 16 to 23 of op: 2, trapped.
  s.event({ kind: 24, object: device.object, op: 0x0002_0400, offset: 0x1cn });
  const all = await charts(s);
  assert.match(all.get('rate')?.summary ?? '', /Red marks at the top: 1 event \(/);
  assert.match(renderSvg(all.get('rate') as Chart, WIDTHS.wide, 'page'), /class="bad"/);
});
