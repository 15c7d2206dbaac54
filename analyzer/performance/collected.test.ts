// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { type Opened, RecordedSession } from '../../session/fixtures.js';
import { PhaseCursor } from '../../session/phases/phase.js';
import { phasesOf } from '../../session/phases/phases.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { COLLECTED, Collection } from './collect.js';
import { collect } from './collected.js';

/** Collected in one reading, the trace has the series that it has when its phases are known before anything is counted. */
function assertSettled(trace: Trace): number {
  try {
    const { table, phases } = collect(trace);
    assert.deepEqual(phases, phasesOf(trace));
    const expected = new Collection(trace, new PhaseCursor(phases.spans));
    for (const batch of trace.batches({ groups: true, columns: COLLECTED })) expected.add(batch);
    const { cells, counts, folded } = expected.table;
    assert.deepEqual(
      table.cells.map(({ latency, ...cell }, at) => [
        cell,
        table.counts[at],
        latency && [...latency.buckets()],
      ]),
      cells.map(({ latency, ...cell }, at) => [cell, counts[at], latency && [...latency.buckets()]]),
    );
    assert.equal(table.folded, folded);
    return phases.spans.length;
  } finally {
    trace.close();
  }
}

for (const name of ['edu/group', 'edu/cdev', 'qemu/io', 'qemu/nested-kvm', 'dpdk/e1000e']) {
  test(`by phase in one reading: ${name}`, () => {
    assertSettled(openTrace(join(packageRoot(), 'traces/corpus', `${name}.vtape`)));
  });
}

function work(s: RecordedSession, device: Opened, command: number): void {
  s.store(device, 0, 0x1008, 4, command).store(device, 0, 0x100c, 4, command);
}

test('what looked like the end again and again', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  for (let i = 0; i < 20; i++) {
    s.configWrite(device, 4, 2, 0x0006);
    work(s, device, i);
    s.configWrite(device, 4, 2, 0x0002).load(device, 0, 0x1c, 4, 1);
  }
  s.close(device);
  assertSettled(await s.trace());
});

test('a device that no table knows, which is set up while it works', async () => {
  const s = new RecordedSession();
  const { device, container } = s.openNvme({ vendor: 0x1234, device: 0x11e8, classCode: 0x00ff00 });
  s.map(device, 0, 0x1000n);
  for (let i = 0; i < 20; i++) {
    s.mapDma(container, { iova: 0x1000n, size: 0x1000n }).store(device, 0, 0x80, 4, i);
    s.unmapDma(container, { iova: 0x1000n, size: 0x1000n }).load(device, 0, 0x84, 4, i);
  }
  s.close(device);
  assertSettled(await s.trace());
});

test('more places where a phase may begin than are settled', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  for (let i = 0; i < 1000; i++) {
    s.reset(device);
    work(s, device, i);
  }
  assert.ok(assertSettled(await s.trace()) > 500);
});

test('another device is opened while one works', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  work(s, device, 1);
  const other = s.openNvme();
  work(s, device, 2);
  work(s, other.device, 1);
  s.close(other.device).close(device);
  assertSettled(await s.trace());
});
