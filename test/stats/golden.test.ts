// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { statistics } from '../../analyzer/performance/statistics.js';
import { statisticsText } from '../../analyzer/performance/text.js';
import { RecordedSession } from '../../session/fixtures.js';
import { openTrace, type Trace } from '../../traces/reader.js';

const CORPUS = ['qemu/io', 'qemu/nested-kvm', 'dpdk/e1000e', 'edu/group'];

function open(name: string): Trace {
  return openTrace(join(packageRoot(), 'traces/corpus', `${name}.vtape`));
}

for (const name of CORPUS) {
  test(`the statistics of ${name} read as they did`, () => {
    const trace = open(name);
    const { trace: about, ...rest } = statistics(trace);
    trace.close();
    const text = statisticsText({ ...rest, trace: { ...about, file: basename(about.file) } });
    const path = join(packageRoot(), 'test/stats', `${name.replace('/', '-')}.txt`);
    if (process.env['VFIOTAPE_UPDATE'] === '1') writeFileSync(path, text);
    assert.equal(text, readFileSync(path, 'utf8'));
  });
}

test('every event is in every table that it belongs to', () => {
  for (const name of CORPUS) {
    const trace = open(name);
    const found = statistics(trace);
    for (const table of ['operations', 'objects', 'threads', 'by_phase'] as const) {
      assert.equal(
        found[table].reduce((sum, { count }) => sum + count, 0),
        trace.eventCount,
        `${name}: ${table}`,
      );
    }
    trace.close();
  }
});

test('a queue is followed from its doorbell to its completion', async () => {
  const s = new RecordedSession();
  const { container, device } = s.openNvme();
  s.map(device, 0, 0x4000n);
  s.load(device, 0, 0, 8, 0x20_0000_0fffn);
  s.mapDma(container, { iova: 0n, size: 2n << 20n });
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  for (let n = 0; n < 3; n++) {
    s.store(device, 0, 0x1008, 4, n);
    s.store(device, 0, 0x1008, 4, n);
    s.after(10_000).wake(eventfd).readEventfd(eventfd, 2n);
    s.store(device, 0, 0x100c, 4, n);
  }
  s.wake(eventfd);
  s.close(device).exit();
  const trace = await s.trace();
  const { queues, interrupts, mappings, openings, phases } = statistics(trace);
  assert.deepEqual(
    queues.map(({ queue, doorbells, completions, woken }) => [queue, doorbells, completions, woken]),
    [['queue 1', 6, 3, 3]],
  );
  const [queue] = queues;
  // Each event is 1 µs after the one before.
  assert.equal(queue?.doorbell_to_wake?.min_ns, 12_000);
  assert.equal(queue?.wake_to_read?.min_ns, 1000);
  assert.equal(queue?.read_to_completion?.min_ns, 1000);
  assert.equal(queue?.doorbell_to_completion?.max_ns, 14_000);
  assert.deepEqual(
    interrupts.map((vector) => [
      vector.vector,
      vector.wakes,
      vector.reads,
      vector.signals,
      vector.largest,
      vector.unread_wakes,
    ]),
    [['MSIX[0]', 4, 3, 6, 2, 1]],
  );
  assert.deepEqual(
    mappings.map(({ operation, calls, bytes }) => [operation, calls, bytes]),
    [['VFIO_IOMMU_MAP_DMA', 1, 2 << 20]],
  );
  assert.equal(openings[0]?.ready_by, 'SQ1TDBL');
  assert.deepEqual(
    phases.map(({ phase }) => phase),
    ['open', 'bar', 'steady', 'teardown'],
  );
  trace.close();
});

test('a call of another thread between wake-up and completion changes nothing', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.load(device, 0, 0, 8, 0x20_0000_0fffn);
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  s.thread(2).store(device, 0, 0x1008, 4, 1);
  s.thread(1).wake(eventfd);
  s.thread(2).store(device, 0, 0x100c, 4, 1);
  const trace = await s.trace();
  const [queue] = statistics(trace).queues;
  assert.equal(queue?.woken, 0);
  assert.equal(queue?.doorbell_to_completion?.max_ns, 2000);
  trace.close();
});

const E1000E = { vendor: 0x8086, device: 0x10d3, classCode: 0x020000 };
const TDT = 0x3818;
const ICR = 0xc0;

test('a device without completion doorbells may have rung long before its first interrupt', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme(E1000E);
  for (let n = 0; n < 3; n++) s.store(device, 0, TDT, 4, n);
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  for (let n = 0; n < 2; n++) s.wake(eventfd).load(device, 0, ICR, 4, 0).store(device, 0, TDT, 4, n);
  const trace = await s.trace();
  const [queue] = statistics(trace).queues;
  assert.deepEqual(
    [queue?.queue, queue?.doorbells, queue?.completions, queue?.woken, queue?.doorbell_to_wake?.timed],
    ['tx 0', 5, 2, 2, 2],
  );
  // Two doorbells, the eventfd's making and SET_IRQS lie between the first one and the wake-up.
  assert.deepEqual([queue?.doorbell_to_wake?.min_ns, queue?.doorbell_to_wake?.max_ns], [1000, 5000]);
  trace.close();
});

test('only a completion doorbell answers where there is one, whatever interrupt another device has sent', async () => {
  const s = new RecordedSession();
  const { device: nic } = s.openNvme(E1000E);
  const { device } = s.openNvme();
  s.load(device, 0, 0, 8, 0x20_0000_0fffn);
  const eventfds = [s.eventfd(), s.eventfd()] as const;
  s.setIrqs(nic, { index: 2, eventfds: [eventfds[0]] }).setIrqs(device, {
    index: 2,
    eventfds: [eventfds[1]],
  });
  s.store(nic, 0, TDT, 4, 1);
  s.thread(2).wake(eventfds[0]);
  s.thread(1).store(device, 0, 0x1008, 4, 1).wake(eventfds[1]);
  s.load(device, 0, 0x1c, 4, 1).store(device, 0, 0x100c, 4, 1);
  const trace = await s.trace();
  const queue = statistics(trace).queues.find(({ queue: name }) => name === 'queue 1');
  assert.deepEqual([queue?.completions, queue?.woken, queue?.doorbell_to_completion?.max_ns], [1, 1, 3000]);
  trace.close();
});
