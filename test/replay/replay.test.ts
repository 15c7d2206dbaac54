// SPDX-License-Identifier: Apache-2.0
/** Sessions that were recorded on a real kernel, reissued on the simulated one. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import type { Divergence, ReplayReport } from '../../replayer/replay/divergence.js';
import { adaptTarget } from '../../replayer/replay/interfaces/adapt.js';
import { Masks, parseMasks } from '../../replayer/replay/masks.js';
import { Replay, type ReplayOptions, replayAll, replayOptions } from '../../replayer/replay/replay.js';
import { SimulatedTarget } from '../../replayer/replay/simulated-target.js';
import { RecordedSession } from '../../session/fixtures.js';
import type { EventBatch } from '../../traces/columns.js';
import { EventKind } from '../../traces/model.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { withChanges } from './with-changes.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-replay-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function replayed(trace: Trace, device: string, options: Partial<ReplayOptions> = {}): ReplayReport {
  const target = new SimulatedTarget(device, '');
  try {
    return replayAll(new Replay(trace, target, replayOptions(options)));
  } finally {
    target.end();
  }
}

function corpus(name: string): Trace {
  return openTrace(readFileSync(join(packageRoot(), 'traces/corpus', `${name}.vtape`)));
}

const text = ({ event, kind, what, recorded, seen }: Divergence): string =>
  `${event} ${kind} ${what}: ${recorded} -> ${seen}`;

for (const name of ['edu/group', 'edu/cdev']) {
  test(`${name}: a session of a real kernel's has no divergence on the simulated one`, () => {
    const report = replayed(corpus(name), 'edu');
    assert.deepEqual(report.divergences.map(text), []);
    assert.deepEqual(report.omissions, []);
    assert.ok(report.operations > 40, String(report.operations));
    assert.ok(report.compared >= report.operations - 10);
  });
}

test('signals that come together here, and one by one in the recording, are none missing; one more read is', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  for (let times = 0; times < 3; times++) s.setIrqs(device, { index: 2, flags: 0x21, count: 1 });
  s.readEventfd(eventfd).readEventfd(eventfd, 2n);
  const missing = s.next;
  s.readEventfd(eventfd);
  const { divergences } = replayed(await s.trace(), 'nvme');
  const interrupts = divergences.filter(({ kind }) => kind === 'interrupt');
  assert.deepEqual(interrupts.map(text), [`${missing} interrupt MSIX[0]: 1 signalled -> none`]);
});

class WithoutGroups extends SimulatedTarget {
  override readonly groupPath = undefined;
}

test('a session of groups is reissued where there are only device nodes', () => {
  const trace = corpus('edu/group');
  const target = adaptTarget(trace, new WithoutGroups('edu', ''));
  const report = replayAll(new Replay(trace, target, replayOptions()));
  target.end();
  assert.deepEqual(report.divergences.map(text), []);
  assert.deepEqual(report.omissions, []);
  assert.ok(report.operations > 40);
});

test('each of the planted differences is found, and nothing else', async () => {
  let loads = 0;
  const planted = await withChanges(corpus('edu/cdev'), join(directory, 'planted.vtape'), (batch, row) => {
    if (batch.kind[row] !== EventKind.LOAD) return false;
    // Two loads of one register in a row may be a wait for it: its last value counts.
    loads++;
    batch.value[row] = (batch.value[row] as bigint) ^ 0x4000n;
    return true;
  });
  assert.ok(loads >= 5);
  const report = replayed(planted.trace, 'edu');
  const found = new Set(report.divergences.map(({ event }) => event));
  for (const event of found) assert.ok(planted.events.includes(event), `event ${event} was not planted`);
  assert.ok(report.divergences.every(({ kind }) => kind === 'value'));
  assert.equal(report.divergences.length, found.size);
  // Every run of loads of one register is one divergence.
  const { trace } = planted;
  let runs = 0;
  let last = '';
  for (const batch of trace.batches()) {
    for (let row = batch.begin; row < batch.end; row++) {
      const kind = batch.kind[row] as number;
      if (kind === EventKind.CLOCK || kind === EventKind.WAKE || kind === EventKind.SITE) continue;
      const place =
        kind === EventKind.LOAD ? `${batch.object[row]} ${batch.op[row]} ${batch.offset[row]}` : '';
      if (place !== '' && place !== last) runs++;
      last = place;
    }
  }
  assert.equal(report.divergences.length, runs);
});

test('a mask leaves a register out, or some bits of it', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.load(device, 0, 0x08, 4, 0x0001_0501);
  const trace = await s.trace();
  const value = (masks: Masks) =>
    replayed(trace, 'nvme', { masks })
      .divergences.filter(({ kind }) => kind === 'value')
      .map(text);
  assert.deepEqual(value(new Masks()), [
    `${s.next - 1} value BAR0+0x8 VS: 0x00010501 TER=1 MNR=5 MJR=1 -> 0x00010400 MNR=4 MJR=1`,
  ]);
  assert.deepEqual(value(parseMasks('BAR0 VS # the version\n', 'm')), []);
  assert.deepEqual(value(parseMasks('BAR0+0x8 0x1ff', 'm')), []);
  assert.equal(value(parseMasks('BAR0+0x8 0x1', 'm')).length, 1);
});

test('masks that are none are the user’s mistake, said with their line', () => {
  assert.throws(() => parseMasks('BAR0 CSTS\nBAR7 X', 'm.txt'), /^UserError: m\.txt:2: 'BAR7 X' is no mask/);
});

test('a register that is waited for is waited for, whichever device was faster', async () => {
  for (const recorded of [[1n], [0n, 1n], [0n, 0n, 0n, 1n]]) {
    const s = new RecordedSession();
    const { device } = s.openNvme();
    s.store(device, 0, 0x24, 4, 0x001f_001f).store(device, 0, 0x14, 4, 0x0046_0001);
    for (const value of recorded) s.load(device, 0, 0x1c, 4, value);
    const { divergences } = replayed(await s.trace(), 'nvme');
    assert.deepEqual(divergences.filter(({ what }) => what.includes('CSTS')).map(text), [], String(recorded));
  }
});

test('an errno that is another is a divergence, and stops when it is asked to', async () => {
  const s = new RecordedSession();
  const { container, device } = s.openNvme();
  s.mapDma(container, { iova: 0x1000n, size: 0x1000n, errno: 17 });
  const map = s.next - 1;
  s.load(device, 0, 0x08, 4, 7);
  const report = replayed(await s.trace(), 'nvme', { from: map, until: 'divergence' });
  assert.deepEqual(report.divergences.map(text), [`${map} errno VFIO_IOMMU_MAP_DMA: EEXIST -> success`]);
  assert.match(report.stopped ?? '', new RegExp(`event ${map}$`));
});

test('memory-decode off is a fault, not a value', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.map(device, 0, 0x4000n);
  s.configWrite(device, 4, 2, 0);
  const load = s.next;
  s.load(device, 0, 0x1c, 4, 0);
  const { divergences } = replayed(await s.trace(), 'nvme');
  assert.deepEqual(divergences.filter(({ event }) => event === load).map(text), [
    `${load} fault BAR0+0x1c: an access -> SIGBUS`,
  ]);
});

test('what can not be reissued is counted, not passed over', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  s.fatal(device, 'load', 0, 0x1c, 4);
  const unseen = s.unseenDevice({ bdf: '0000:00:09.0' });
  s.load(unseen, 0, 0, 4, 0);
  const { omissions } = replayed(await s.trace(), 'nvme');
  assert.deepEqual(
    omissions.map(({ reason, count }) => `${count} ${reason}`),
    [
      '1 an access that never completed',
      '1 a descriptor that the recorder did not see opened',
      '1 accesses to a device that the replay does not have',
    ],
  );
});

test('a session of which anything may be otherwise is replayed as far as it goes', async () => {
  let state = 20261129n;
  // The same numbers each time (Knuth's MMIX).
  const below = (bound: number): number => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(bound));
  };
  const numbers = [0n, 1n, 4095n, 2n ** 31n, 2n ** 32n - 1n, 7n << 40n, 2n ** 63n, 2n ** 64n - 1n];
  const ops = [0xff00, (64 << 8) | (13 << 24), (16 << 8) | (10 << 24), (4 << 8) | (9 << 24), 3 << 8];
  const [some, op] = [() => numbers[below(8)] as bigint, () => ops[below(5)] as number];
  const change = (batch: EventBatch, row: number): boolean => {
    if (below(12) !== 0) return false;
    const column = below(7);
    if (column === 0) batch.kind[row] = below(34);
    if (column === 1) batch.op[row] = op();
    if (column === 2) batch.offset[row] = some();
    if (column === 3) batch.value[row] = some();
    if (column === 4) batch.errno[row] = below(140);
    if (column === 5) batch.object[row] = below(12);
    if (column === 6) batch.flags[row] = below(256);
    return true;
  };
  for (const [name, device] of [
    ['edu/group', 'edu'],
    ['edu/cdev', 'edu'],
    ['example/nvme', 'nvme'],
  ] as const) {
    for (let n = 0; n < 20; n++) {
      const { trace } = await withChanges(corpus(name), join(directory, 'changed.vtape'), change);
      assert.ok(replayed(trace, device).events > 0);
      trace.close();
    }
  }
});
