// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { type Opened, RecordedSession } from '../fixtures.js';
import { Pass } from './pass.js';
import { phasesAfter, phasesOf } from './phases.js';

const CC = 0x14;
const CSTS = 0x1c;
const SQ1 = 0x1008;
const CQ1 = 0x100c;
const SQ0 = 0x1000;
const UNKNOWN = { vendor: 0x1234, device: 0x11e8, classCode: 0x00ff00 };

/** `open 0-14, config 15-16`: phase, first and last event. */
function texts(trace: Trace): string {
  try {
    return phasesOf(trace)
      .spans.map(({ phase, from, to }) => `${phase} ${from.event}-${to.event - 1}`)
      .join(', ');
  } finally {
    trace.close();
  }
}

async function phases(session: RecordedSession): Promise<string> {
  return texts(await session.trace());
}

function enable(s: RecordedSession, device: Opened): void {
  s.store(device, 0, 0x28, 8, 0x1000n).store(device, 0, 0x30, 8, 0x2000n);
  s.store(device, 0, CC, 4, 0x460001).load(device, 0, CSTS, 4, 1);
}

function disable(s: RecordedSession, device: Opened): void {
  s.store(device, 0, CC, 4, 0x460000).load(device, 0, CSTS, 4, 1).load(device, 0, CSTS, 4, 0);
}

function io(s: RecordedSession, device: Opened, times = 3): void {
  for (let i = 1; i <= times; i++) s.store(device, 0, SQ1, 4, i).store(device, 0, CQ1, 4, i);
}

/** Opened, its controller reset, its queues set up. */
function ready(s: RecordedSession): {
  readonly container: Opened;
  readonly group: Opened;
  readonly device: Opened;
} {
  const opened = s.openNvme();
  const { device, container } = opened;
  s.configRead(device, 4, 2, 0x0002).configWrite(device, 4, 2, 0x0006);
  s.map(device, 0, 0x2000n);
  s.load(device, 0, 0, 8, 0x20_0f01_07ffn);
  disable(s, device);
  s.mapDma(container, { iova: 0x1000n, size: 0x4000n });
  enable(s, device);
  s.store(device, 0, SQ0, 4, 1);
  return opened;
}

const READY = 'open 0-15, config 16-17, bar 18-19, reset 20-23, queues 24-28';

test('each phase of an NVMe driver, to the end', async () => {
  const s = new RecordedSession();
  const { device, container, group } = ready(s);
  io(s, device);
  disable(s, device);
  s.unmapDma(container, { iova: 0x1000n, size: 0x4000n });
  s.close(device).close(group).close(container);
  assert.equal(await phases(s), `${READY}, steady 29-34, teardown 35-41`);
});

test('what is undone while the driver goes on working is no teardown', async () => {
  const s = new RecordedSession();
  const { device, container } = ready(s);
  for (let i = 0; i < 3; i++) {
    s.mapDma(container, { iova: 0x10_0000n, size: 0x1000n });
    io(s, device, 1);
    s.unmapDma(container, { iova: 0x10_0000n, size: 0x1000n });
  }
  // The last of them says nothing either: a device whose registers are known tells by these when it stops.
  s.close(device);
  assert.equal(await phases(s), `${READY.replace('24-28', '24-29')}, steady 30-40, teardown 41-41`);
});

test('after a reset the device is set up anew', async () => {
  const s = new RecordedSession();
  const { device } = ready(s);
  io(s, device, 1);
  s.reset(device);
  s.configWrite(device, 4, 2, 0x0006);
  disable(s, device);
  enable(s, device);
  io(s, device, 1);
  assert.equal(await phases(s), `${READY}, steady 29-30, reset 31-35, queues 36-39, steady 40-41`);
});

test('a driver that was killed has no teardown', async () => {
  const s = new RecordedSession();
  io(s, ready(s).device);
  assert.equal(await phases(s), `${READY}, steady 29-34`);
});

test('one that gave admin commands only worked with these', async () => {
  const s = new RecordedSession();
  const { device } = ready(s);
  s.store(device, 0, SQ0, 4, 2).close(device);
  assert.equal(await phases(s), `${READY.replace('24-28', '24-27')}, steady 28-29, teardown 30-30`);
});

test('a device that no table knows works when nothing is set up any more', async () => {
  const s = new RecordedSession();
  const { device, container, group } = s.openNvme(UNKNOWN);
  s.configWrite(device, 4, 2, 0x0006);
  s.map(device, 0, 0x1000n);
  s.load(device, 0, 0, 4, 1);
  s.mapDma(container, { iova: 0x1000n, size: 0x1000n });
  s.setIrqs(device, { index: 1, eventfds: [s.eventfd()] });
  for (let i = 0; i < 4; i++) s.store(device, 0, 0x80, 4, i).load(device, 0, 0x84, 4, i);
  s.setIrqs(device, { index: 1, flags: 0x21, count: 0 });
  s.close(device).close(group).close(container);
  assert.equal(
    await phases(s),
    'open 0-15, config 16-16, bar 17-18, queues 19-21, steady 22-29, teardown 30-33',
  );
});

test('opened and closed, nothing else', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.close(device);
  assert.equal(await phases(s), 'open 0-15, teardown 16-16');
});

test('however often it is reset, there is an end of spans', async () => {
  const s = new RecordedSession();
  const { device } = ready(s);
  for (let i = 0; i < 2000; i++) {
    s.reset(device);
    io(s, device, 1);
  }
  const trace = await s.trace();
  const { spans } = phasesOf(trace);
  trace.close();
  assert.ok(spans.length < 520, String(spans.length));
  assert.ok(spans.every(({ from, to }) => from.time <= to.time));
});

const REAL: readonly (readonly [name: string, phases: string])[] = [
  ['edu/group', 'open config bar queues steady teardown'],
  ['edu/cdev', 'open config bar queues steady teardown'],
  ['qemu/io', 'open config bar reset bar queues steady teardown'],
  ['qemu/img-convert', 'open config bar reset bar queues steady teardown'],
  ['qemu/nested-kvm', 'open config bar reset bar queues steady teardown'],
];
for (const [name, expected] of REAL) {
  test(`recorded: ${name}`, () => {
    const trace = openTrace(join(packageRoot(), 'traces/corpus', `${name}.vtape`));
    const { spans } = phasesOf(trace);
    trace.close();
    assert.equal(spans.map(({ phase }) => phase).join(' '), expected);
    spans.slice(1).forEach(({ from }, i) => {
      assert.deepEqual(from, spans[i]?.to);
    });
  });
}

test('recorded: both ports of DPDK work at the same time', () => {
  const trace = openTrace(join(packageRoot(), 'traces/corpus/dpdk/e1000e.vtape'));
  const steady = phasesOf(trace).spans.filter(({ phase }) => phase === 'steady');
  trace.close();
  assert.equal(steady.length, 2);
  const [a, b] = steady;
  assert.ok(a !== undefined && b !== undefined && a.from.time < b.to.time && b.from.time < a.to.time);
});

test('an event that a phase begins with is told of when it comes', async () => {
  const s = new RecordedSession();
  const { device } = ready(s);
  io(s, device);
  const other = ready(s);
  io(s, device);
  io(s, other.device);
  disable(s, device);
  s.close(device).close(other.device);
  const trace = await s.trace();
  const told = new Set<number>();
  let now = 0;
  const pass = new Pass(trace, (event) => {
    if (event === now) told.add(event);
  });
  for (; now < trace.eventCount; now++) {
    const one = { from: now, to: now + 1, groups: true, columns: ['value'] } as const;
    for (const batch of trace.batches(one)) pass.follow(batch);
  }
  const { spans } = phasesAfter(trace, pass);
  trace.close();
  assert.equal(spans.length, 14);
  assert.deepEqual(
    spans.filter(({ from }) => !told.has(from.event)),
    [],
  );
});
