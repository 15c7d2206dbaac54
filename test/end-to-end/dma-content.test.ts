// SPDX-License-Identifier: Apache-2.0
// `record --sim … --dma content`: what a simulated device did in memory is in the trace, in the driver's order.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Event, EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { vfiotape } from './harness.js';
import { BDF, buildExample, LIMIT, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const nvme = buildExample('nvme', scratch);
const READ = 0;
const WRITE = 1;

function recorded(
  name: string,
  words: readonly string[],
): { readonly events: readonly Event[]; readonly late: number } {
  const path = join(scratch, name);
  const { status, stderr } = vfiotape('record', '--sim', 'nvme', '--dma', 'content', '-o', path, ...words);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /nothing lost/);
  const trace = openTrace(path);
  assert.equal(trace.header.modes.dma, 'content');
  const events = [...trace.events()];
  assert.deepEqual(trace.damages, []);
  const late = trace.summary?.lateEvents ?? 0;
  trace.close();
  return { events, late };
}

const isDma = (event: Event, direction: number): boolean =>
  event.kind === EventKind.DMA && (event.op & 0xff) === direction;

for (const buffer of [[], ['--buffer', '64K']]) {
  test(`doorbell, DMA, interrupt and wake-up stand in that order ${buffer.join(' ')}`, LIMIT, () => {
    const { events, late } = recorded('msix.vtape', [...buffer, '--', nvme, '--irq', 'msix', BDF]);
    // A recorder that was kept waiting, or whose rings were full, says so: then the order is not promised.
    if (late > 0) return;
    const doorbells = events.filter(
      ({ kind, offset, op }) =>
        kind === EventKind.STORE && (op & 0xff) === 0 && offset >= 0x1000n && offset % 8n === 0n,
    );
    assert.ok(doorbells.length >= 8);
    const devices = new Set(events.filter(({ kind }) => kind === EventKind.DMA).map(({ object }) => object));
    assert.deepEqual([...devices], [doorbells[0]?.object]);
    for (const doorbell of doorbells) {
      const later = events.filter(({ number }) => number > doorbell.number);
      const fetch = later.find((event) => isDma(event, READ));
      assert.equal(fetch?.result, 64n, 'the first that a doorbell causes is the fetch of a command');
      const completion = later.find((event) => isDma(event, WRITE) && event.result === 4n);
      const head = later.find(
        ({ kind, offset }) => kind === EventKind.STORE && offset >= 0x1000n && offset % 8n === 4n,
      );
      assert.ok(completion !== undefined && completion.number > fetch.number);
      assert.ok(head === undefined || head.number > completion.number, 'it was seen after it was written');
    }
    const raised = events.filter(({ kind, op }) => kind === EventKind.INTERRUPT && op === 2);
    const counted = events.filter(
      ({ kind, value, result }) => kind === EventKind.READ && result === 8n && value > 0n && value < 100n,
    );
    assert.ok(raised.length > 0 && counted.length > 0);
    assert.ok((raised[0]?.number ?? 0) < (counted[0]?.number ?? 0));
    const times = events.filter(({ kind }) => kind === EventKind.DMA).map(({ time }) => time);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });
}

test('every byte of what was read from the drive is there', LIMIT, () => {
  const { events } = recorded('polled.vtape', ['--', nvme, BDF]);
  const sizes = events
    .filter((event) => isDma(event, WRITE) && event.result >= 512n)
    .map(({ result, payloads }) => [Number(result), payloads[0]?.data.length]);
  assert.ok(sizes.reduce((sum, [size = 0]) => sum + size, 0) >= 16384);
  for (const [size, kept] of sizes) assert.equal(kept, size);
});

test('without a simulated device it is the driver’s real one whose memory is compared', () => {
  const path = join(scratch, 'none.vtape');
  const { status, stderr } = vfiotape('record', '--dma', 'content', '-o', path, '--', 'true');
  assert.equal(status, 0, stderr);
  const { stdout } = vfiotape('info', path);
  assert.match(stdout, /, dma content, .* kernel backend/);
  assert.match(stdout, /^dma compared\n {2}0 comparisons, 0 pages, 0ns in all .*\n {2}0 mappings compared/m);
});
