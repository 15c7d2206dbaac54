// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { ObjectKind, PayloadRole, RecordFlag, RecordKind, RingState } from '../../abi/wire/record.js';
import { openTrace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';
import { summarize } from '../seal/summary.js';
import { RecordingClock } from './clock.js';
import { Collector } from './collector.js';
import { Definer } from './definer.js';
import { type FakeRing, FakeSession } from './fake-shim.js';
import { ProcessWatch } from './processes.js';
import { TraceSink } from './trace-sink.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-collector-'));
after(() => rmSync(scratch, { recursive: true }));
let files = 0;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const MODES = {
  dialect: 'modern',
  mmio: 'off',
  whenFull: 'block',
  dma: 'off',
  backend: 'kernel',
  ringBytes: 0,
  maxSize: 0,
  atLimit: '',
  durationNs: 0,
  watch: [],
};
const HOST = { kernel: '', machine: '', cpu: '', cpus: 1, hostname: '', os: '', kernelCommandLine: '' };

class Recording {
  readonly session: FakeSession;
  readonly path = join(scratch, `${files++}.vtape`);
  readonly clock = new RecordingClock('monotonic', 1e9);
  readonly definer = new Definer();
  readonly processes: ProcessWatch;
  readonly collector: Collector;

  constructor(session: FakeSession) {
    this.session = session;
    this.processes = new ProcessWatch(session.directory);
    this.collector = new Collector({
      directory: session.directory,
      control: session.control,
      clock: this.clock,
      definer: this.definer,
      processes: this.processes,
      openSink: async () => {
        const header = {
          recorder: 'test',
          host: HOST,
          command: ['driver'],
          modes: MODES,
          clock: this.clock.describe(),
        };
        return new TraceSink(await TraceWriter.create(this.path, header), this.definer, 0);
      },
    });
  }

  async seal(): Promise<void> {
    const { collector, clock, processes } = this;
    const summary = summarize({
      collector,
      control: this.session.control,
      clock,
      processes,
      whenFull: 'block',
      stoppedBy: 'driver-exit',
      complete: true,
      main: undefined,
    });
    await collector.traceSink?.seal(summary);
    collector.close();
  }
}

/** A living thread that is not ours to end: the test's own. */
const SELF = { pid: process.pid, tid: process.pid };

function begin(ring: FakeRing, tid: number, at: bigint): void {
  ring.put({
    kind: RecordKind.THREAD,
    entered: at,
    offset: BigInt(SELF.pid),
    value: BigInt(tid),
    segments: [{ role: PayloadRole.NAME, data: text(`thread-${tid}`) }],
  });
}

describe('the collector', () => {
  it('merges threads by completion and keeps each thread’s own order', async () => {
    const threads = fc.array(
      fc.array(fc.record({ gap: fc.nat(50), duration: fc.nat(400) }), { maxLength: 120 }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    await fc.assert(
      fc.asyncProperty(threads, async (plans) => {
        const session = new FakeSession();
        const recording = new Recording(session);
        session.attach(SELF.pid, 1, 1000n);
        const rings = plans.map((plan, index) => {
          const ring = session.claim(index, SELF.pid, SELF.tid, 1);
          let now = 1000n;
          begin(ring, SELF.tid, now);
          plan.forEach(({ gap, duration }, n) => {
            now += BigInt(gap + duration);
            const entered = now - BigInt(duration);
            ring.put({
              kind: RecordKind.READ,
              entered,
              duration,
              fd: index,
              value: BigInt(n),
              site: BigInt(0x400000 + n),
            });
          });
          return ring;
        });
        await recording.collector.drain();
        await recording.seal();
        const trace = openTrace(recording.path);
        const next = plans.map(() => 0n);
        let last = 0;
        for (const event of trace.events()) {
          assert.ok(event.time + event.duration >= last, 'by completion');
          last = event.time + event.duration;
          if (event.kind !== RecordKind.READ) continue;
          assert.equal(event.value, next[event.fd], 'nothing lost, nothing doubled');
          next[event.fd] = event.value + 1n;
        }
        assert.deepEqual(
          next,
          plans.map((plan) => BigInt(plan.length)),
        );
        assert.equal(trace.summary?.lateEvents, 0);
        trace.close();
        rings.forEach((ring, index) => {
          assert.equal(ring.tail, (plans[index]?.length ?? 0) + 1, 'everything is given back');
          ring.close();
        });
        session.remove();
      }),
      { numRuns: 25 },
    );
  });

  it('frees a ring that its thread left, and knows its next owner', async () => {
    const session = new FakeSession();
    const recording = new Recording(session);
    session.attach(SELF.pid, 1, 5n);
    const ring = session.claim(0, SELF.pid, SELF.tid, 1);
    begin(ring, SELF.tid, 10n);
    ring.put({ kind: RecordKind.WRITE, entered: 11n });
    session.leave(ring);
    await recording.collector.drain();
    session.control.refresh();
    assert.equal(session.control.ringState(0), RingState.FREE);
    assert.equal(ring.tail, 2);
    await recording.seal();
    const trace = openTrace(recording.path);
    assert.deepEqual(
      [...trace.definitions.threads.values()].map(({ name, tid }) => ({ name, tid })),
      [{ name: `thread-${SELF.tid}`, tid: SELF.tid }],
    );
    trace.close();
    ring.close();
    session.remove();
  });

  it('finds a thread that died without a word: its last call, and the record it was writing', async () => {
    const session = new FakeSession();
    const recording = new Recording(session);
    const gone = 4_000_000;
    session.attach(gone, 1, 5n);
    const ring = session.claim(0, gone, gone, 1);
    ring.put({ kind: RecordKind.THREAD, entered: 10n, offset: BigInt(gone), value: BigInt(gone) });
    ring.put({ kind: RecordKind.STORE, entered: 11n, flags: RecordFlag.INTENT, value: 7n });
    ring.reserve();
    ring.inflight({ kind: RecordKind.IOCTL, entered: 12n, op: 0x3b6f });
    await recording.collector.drain();
    await recording.seal();
    session.control.refresh();
    assert.equal(session.control.ringState(0), RingState.FREE);
    const trace = openTrace(recording.path);
    const events = [...trace.events()].map(({ kind, flags, op }) => ({ kind, flags, op }));
    assert.deepEqual(events, [
      { kind: RecordKind.THREAD, flags: 0, op: 0 },
      { kind: RecordKind.STORE, flags: RecordFlag.INTENT, op: 0 },
      { kind: RecordKind.IOCTL, flags: RecordFlag.INTENT, op: 0x3b6f },
    ]);
    // The slot that it had reserved is the call's.
    assert.deepEqual(trace.summary?.losses, []);
    trace.close();
    ring.close();
    session.remove();
  });

  it('defines processes, mappings, sites, objects and where they came from', async () => {
    const session = new FakeSession();
    const recording = new Recording(session);
    session.attach(SELF.pid, 1, 5n);
    const ring = session.claim(0, SELF.pid, SELF.tid, 1);
    begin(ring, SELF.tid, 10n);
    ring.put({
      kind: RecordKind.PROCESS,
      entered: 11n,
      offset: BigInt(SELF.pid),
      value: 1n,
      segments: [
        { role: PayloadRole.EXE, data: text('/usr/bin/driver') },
        { role: PayloadRole.ARGV, data: text('driver\0-x\0\0') },
        {
          role: PayloadRole.MAPS,
          data: text('00400000-00500000 r-xp 00001000 08:01 42   /usr/bin/driver\n'),
        },
      ],
    });
    const kind = (value: number, second = 0): Uint8Array =>
      new Uint8Array(new Uint32Array([value, second]).buffer);
    ring.put({
      kind: RecordKind.OPEN,
      entered: 12n,
      object: 1,
      fd: 5,
      result: 5n,
      segments: [
        { role: PayloadRole.PATH, data: text('/dev/vfio/26') },
        { role: PayloadRole.KIND, data: kind(ObjectKind.GROUP) },
      ],
    });
    ring.put({
      kind: RecordKind.IOCTL,
      entered: 13n,
      object: 1,
      fd: 5,
      op: 0x3b6a,
      result: 6n,
      site: 0x400123n,
      segments: [
        { role: PayloadRole.IN, data: text('0000:06:0d.0\0') },
        { role: PayloadRole.KIND, data: kind(ObjectKind.DEVICE, 2) },
      ],
    });
    ring.put({ kind: RecordKind.CLOCK, entered: 14n, offset: 1_000_014n, value: 2_000_014n });
    await recording.collector.drain();
    await recording.seal();
    const trace = openTrace(recording.path);
    const { processes, objects, modules, sites } = trace.definitions;
    assert.deepEqual(processes.get(1), {
      id: 1,
      pid: SELF.pid,
      parentPid: 1,
      exe: '/usr/bin/driver',
      argv: ['driver', '-x', ''],
    });
    assert.deepEqual(objects.get(1), {
      id: 1,
      kind: ObjectKind.GROUP,
      path: '/dev/vfio/26',
      parent: 0,
      process: 1,
      seenBorn: true,
      device: 0,
    });
    assert.equal(objects.get(2)?.kind, ObjectKind.DEVICE);
    assert.equal(objects.get(2)?.path, '0000:06:0d.0');
    assert.equal(objects.get(2)?.parent, 1);
    assert.equal(modules.get(1)?.path, '/usr/bin/driver');
    assert.deepEqual(sites.get(1), {
      id: 1,
      process: 1,
      address: 0x400123n,
      module: 1,
      moduleOffset: 0x1123n,
    });
    assert.equal(trace.clock.baseTicks, 5n);
    assert.equal(trace.clock.baseRealtimeNs, 2_000_005n);
    trace.close();
    ring.close();
    session.remove();
  });

  it('says what the shim lost', async () => {
    const session = new FakeSession();
    const recording = new Recording(session);
    session.attach(SELF.pid, 1, 5n);
    const ring = session.claim(0, SELF.pid, SELF.tid, 1);
    begin(ring, SELF.tid, 10n);
    ring.lose(17n);
    await recording.collector.drain();
    await recording.seal();
    const trace = openTrace(recording.path);
    assert.deepEqual(trace.summary?.losses, [
      { cause: 'no-collector', events: 17, bytes: 0, process: 0, detail: '' },
    ]);
    trace.close();
    ring.close();
    session.remove();
  });
});
