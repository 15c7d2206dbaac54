// SPDX-License-Identifier: Apache-2.0
/** What the library exports and refers to, and what small drivers on the stand-in leave in the rings. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import {
  ControlField,
  Dup,
  Fork,
  ObjectKind,
  PayloadRole,
  RecordFlag,
  RecordKind,
  RingState,
  SegmentFlag,
  Wait,
  WhenFull,
} from '../../abi/wire/record.js';
import { ProcessWatch } from '../collector/processes.js';
import {
  kindName,
  make,
  type RawRecord,
  RawSession,
  type Settings,
  shimDirectory,
} from './test/raw-session.js';

let shipped = '';
let standin = '';
let driver = '';
const sessions: RawSession[] = [];

before(() => {
  shipped = make('all', 'libvfiotape.so');
  standin = make('standin', 'libvfiotape-standin.so');
  driver = make('test-driver', 'shim-test-driver');
});
after(() => {
  for (const session of sessions) session.remove();
});

async function record(args: readonly string[], status = 0, settings: Settings = {}): Promise<RawSession> {
  const session = new RawSession(settings);
  sessions.push(session);
  const ended = await session.run(standin, [driver, ...args]);
  assert.equal(ended.status, status, `${args.join(' ')}: ${ended.signal ?? ''} ${ended.output}`);
  for (const one of session.records()) assert.ok(one.whole, `${kindName(one)} at ${one.position}`);
  return session;
}

const of = (session: RawSession, kind: number): readonly RawRecord[] =>
  session.records().filter((one) => one.kind === kind);
const text = (one: RawRecord, role: number): string | undefined =>
  one.segments.find((segment) => segment.role === role)?.data.toString('latin1');
const symbols = (args: readonly string[]): readonly string[] =>
  execFileSync('nm', [...args], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/).at(-1) ?? '')
    .filter((name) => name !== '' && !name.endsWith(':'))
    .map((name) => name.replace(/@.*/, ''));

test('exports the listed entry points and nothing else', () => {
  const listed = readFileSync(join(shimDirectory, 'exports.txt'), 'utf8').trim().split('\n');
  assert.deepEqual([...symbols(['-D', '--defined-only', shipped])].sort(), listed.sort());
});

test('no part of it refers to an entry point that it wraps', () => {
  const wrapped = new Set(readFileSync(join(shimDirectory, 'exports.txt'), 'utf8').trim().split('\n'));
  const objects = join(packageRoot(), 'build/shim/release');
  for (const name of readdirSync(objects, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.o')) continue;
    const bad = symbols(['-u', join(objects, name)]).filter((symbol) => wrapped.has(symbol));
    assert.deepEqual(bad, [], name);
  }
});

test('the shipped library has no stand-in', () => {
  const name = 'vfiotape_standin';
  assert.ok(symbols(['-D', '--defined-only', standin]).includes(name));
  assert.ok(!symbols([shipped]).some((symbol) => symbol.includes('standin')));
});

test('needs libc alone', () => {
  const needed =
    execFileSync('readelf', ['-d', shipped], { encoding: 'utf8' }).match(/\(NEEDED\).*\[(.*)\]/g) ?? [];
  assert.deepEqual(
    needed.map((line) => /\[(.*)\]/.exec(line)?.[1]),
    ['libc.so.6', 'ld-linux-x86-64.so.2'], // the loader is libc's: it knows where the stack began
  );
});

test('without a session, or with one that is not there, it is not noticed', async () => {
  const session = new RawSession();
  session.remove();
  const ended = await session.run(shipped, ['/bin/sh', '-c', 'echo out; exit 5']);
  assert.deepEqual([ended.status, ended.output], [5, 'out\n']);
});

test('the internals under sanitizers', () => {
  const unit = make('test-unit', 'shim-test-unit');
  const session = new RawSession();
  sessions.push(session);
  execFileSync(unit, [session.directory], { stdio: 'pipe' });
});

test('opens, duplicates, closes', async () => {
  const session = await record(['files']);
  const opens = of(session, RecordKind.OPEN);
  assert.deepEqual(
    opens.map((one) => [
      text(one, PayloadRole.PATH),
      one.segments[1]?.data.readUInt32LE(0),
      one.errno,
      one.fd >= 0,
    ]),
    [
      ['vfiotape-standin-device', ObjectKind.DEVICE, 0, true],
      ['/dev/vfio/99', ObjectKind.GROUP, 2, false],
      ['/dev/vfio/vfio99', undefined, 2, false],
      ['/dev/vfio/noiommu-7', ObjectKind.NOIOMMU_GROUP, 2, false],
      ['/dev/vfio/devices/vfio7', ObjectKind.CDEV, 2, false],
      ['/dev/vfio3', ObjectKind.LYON_DEVICE, 2, false],
      ['/dev/iommu', ObjectKind.IOMMUFD, 2, false],
      ['/dev/uiommu', ObjectKind.UIOMMU, 2, false],
      ['/dev/vfio/1', ObjectKind.GROUP, 2, false],
      ['/dev/vfio/2', ObjectKind.GROUP, 2, false],
      ['/dev/vfio/3', ObjectKind.GROUP, 2, false],
      ['/sys/bus/pci/devices/none', ObjectKind.SYSFS, 2, false],
      ['/sys/bus/pci/drivers_autoprobe', ObjectKind.SYSFS, 0, true],
      ['/dev/vfio/98', ObjectKind.GROUP, 2, false],
      ['/proc/self/pagemap', ObjectKind.PAGEMAP, 0, true],
    ],
  );
  assert.ok(((opens[10]?.flags ?? 0) & RecordFlag.RAW) !== 0);
  const object = opens[0]?.object;
  const dups = of(session, RecordKind.DUP);
  assert.deepEqual(
    dups.slice(0, 5).map((one) => [one.op, one.result, one.object]),
    [
      [Dup.DUP, BigInt((opens[0]?.fd ?? 0) + 1), object],
      [Dup.DUP2, 40n, object],
      [Dup.DUP3, 41n, object],
      [Dup.F_DUPFD, 50n, object],
      [Dup.F_DUPFD_CLOEXEC, 51n, object],
    ],
  );
  const closed = of(session, RecordKind.CLOSE).map((one) => `${one.op}:${one.fd}`);
  for (const fd of ['1:50', '1:51', '0:41']) assert.ok(closed.includes(fd), fd);
  assert.ok(!closed.includes('0:40'), 'what took its place does not matter');
  assert.equal(of(session, RecordKind.EXIT).length, 1);
});

test('reads and writes with their bytes', async () => {
  const session = await record(['io']);
  const reads = of(session, RecordKind.READ);
  const writes = of(session, RecordKind.WRITE);
  const line = (one: RawRecord): readonly unknown[] => [one.op, one.offset, one.value, one.result, one.errno];
  assert.deepEqual(reads.slice(0, 4).map(line), [
    [4, 0x700000n, 0x11223344n, 4n, 0],
    [8, 0x700000n, 0x334411223344n, 8n, 0],
    [1, 0x700000n, 0x44n, 1n, 0],
    [2, 0x700000n, 0x3344n, 2n, 0],
  ]);
  assert.deepEqual(writes.slice(0, 2).map(line), [
    [4, 0x700000n, 0x11223344n, 4n, 0],
    [2, 0x700004n, 0x3344n, 2n, 0],
  ]);
  assert.equal(writes[2]?.segments[0]?.data.toString('hex'), '5a'.repeat(64));
  assert.equal(reads[4]?.segments[0]?.data.length, 4096);
  assert.deepEqual(
    reads[5]?.segments.map((segment) => [segment.role, segment.index, segment.data.length]),
    [
      [PayloadRole.DATA, 0, 3],
      [PayloadRole.DATA, 1, 9],
    ],
  );
  assert.deepEqual(
    reads.filter((one) => one.errno !== 0).map((one) => one.errno),
    [14, 22, 14, 22, 22],
  );
  assert.deepEqual(
    of(session, RecordKind.LSEEK).map((one) => one.result),
    [0x3000n, 0x3004n],
  );
  assert.ok(reads.some((one) => (one.flags & RecordFlag.RAW) !== 0 && one.value === 0x11223344n));
});

test('ioctls with what they point to, secrets blanked', async () => {
  const session = await record(['ioctls']);
  const calls = of(session, RecordKind.IOCTL);
  const one = (request: number, nth = 0): RawRecord => {
    const found = calls.filter((call) => call.op === request)[nth];
    assert.ok(found, request.toString(16));
    return found;
  };
  const roles = (call: RawRecord): readonly number[] => call.segments.map((segment) => segment.role);
  assert.deepEqual(roles(one(0x3b64)), []);
  assert.equal(one(0x3b65).value, 3n);
  assert.deepEqual(roles(one(0x3b67)), [PayloadRole.IN, PayloadRole.OUT]);

  const device = one(0x3b6a);
  const name = device.segments[0];
  assert.equal(name?.data.toString('latin1'), `0000:06:0d.0 vf_token=${'\0'.repeat(36)} x`);
  assert.equal(name.flags & SegmentFlag.REDACTED, SegmentFlag.REDACTED);
  assert.equal(device.segments[1]?.data.readUInt32LE(0), ObjectKind.DEVICE);
  assert.equal(device.segments[1]?.data.readUInt32LE(4), one(0x3b6c).object);

  assert.equal(one(0x3b6c).segments[1]?.data.readBigUInt64LE(24), 7n << 20n);
  assert.equal(one(0x3b6c, 1).segments[1]?.data.length, 32, 'an argsz that nobody means');
  assert.equal(one(0x3b6c, 2).segments[0]?.data.length, 32, 'on the heap');
  const token = one(0x3b75).segments[0];
  assert.equal(token?.data.subarray(8).toString('hex'), '00'.repeat(16));
  assert.equal(token.flags & SegmentFlag.REDACTED, SegmentFlag.REDACTED);
  assert.deepEqual(roles(one(0x3b75, 1)), [PayloadRole.IN, PayloadRole.OUT, PayloadRole.KIND]);
  assert.equal(one(0x3b75, 1).segments[2]?.data.readUInt32LE(0), ObjectKind.MIGRATION);
  assert.equal(one(0x3b6e).segments[0]?.data.length, 20 + 4 * 300, 'longer than the space on the stack');
  assert.equal(one(0x3b71).segments[0]?.data.length, 32);
  assert.deepEqual([one(0x3bff).errno, one(0x3bff).segments[0]?.data.length], [25, 64]);
  assert.deepEqual([one(0x3bff, 1).value, one(0x3bff, 1).segments.length], [5n, 0]);
  assert.ok((one(0x3b6f).flags & RecordFlag.RAW) !== 0);
  for (const kind of [RecordKind.MPROTECT, RecordKind.MREMAP, RecordKind.MUNMAP]) {
    assert.equal(of(session, kind).length, 1, 'memory that is mapped for DMA');
  }
  assert.equal(of(session, RecordKind.MADVISE).length, 2);
  assert.equal(of(session, RecordKind.UNSEEN).length, 0);
});

test('mappings of a device', async () => {
  const session = await record(['mappings']);
  assert.deepEqual(
    of(session, RecordKind.MMAP).map((one) => [one.offset, one.value, one.errno, one.object !== 0]),
    [
      [0x1000n, 8192n, 0, true],
      [0x5000n, 4096n, 0, true],
      [0n, 65536n, 0, false],
      [0x123n, 4096n, 22, true],
      [0n, 4096n, 0, true],
    ],
  );
  assert.equal(of(session, RecordKind.MPROTECT).length, 1);
  assert.equal(of(session, RecordKind.MUNMAP).length, 1);
});

test('wake-ups of interrupts, by every way to wait', async () => {
  const session = await record(['waits']);
  assert.deepEqual(
    of(session, RecordKind.WAKE).map((one) => one.op),
    [
      Wait.POLL,
      Wait.POLL,
      Wait.PPOLL,
      Wait.PPOLL,
      Wait.SELECT,
      Wait.PSELECT,
      Wait.EPOLL,
      Wait.EPOLL_PWAIT,
      Wait.EPOLL_PWAIT2,
      Wait.POLL,
      Wait.POLL,
      Wait.EPOLL,
      Wait.EPOLL,
      Wait.EPOLL,
    ],
  );
  const event = of(session, RecordKind.EVENTFD)[0];
  for (const one of of(session, RecordKind.WAKE))
    assert.deepEqual([one.object, one.value], [event?.object, 1n]);
  assert.deepEqual(
    of(session, RecordKind.READ).map((one) => [one.errno, one.value]),
    [
      [11, 0n],
      [0, 2n],
    ],
  );
  assert.equal(of(session, RecordKind.WRITE)[0]?.value, 2n);
  const tied = of(session, RecordKind.IOCTL)[0]?.segments.at(-1)?.data;
  assert.deepEqual([tied?.readUInt32LE(0), tied?.readUInt32LE(4)], [ObjectKind.EVENTFD, event?.object]);
});

test('fork, vfork, clone, spawn and exec, each with its own ring', async () => {
  const session = await record(['processes'], 14);
  const object = of(session, RecordKind.OPEN)[0]?.object;
  const rings = session.rings();
  const reads = (pid: number, image: number): number =>
    rings
      .filter((ring) => ring.pid === pid && ring.process === image)
      .flatMap((ring) => ring.records)
      .filter((one) => one.kind === RecordKind.READ && one.object === object).length;
  const first = rings[0];
  assert.ok(first);
  assert.equal(
    reads(first.pid, first.process),
    3,
    'of the parent: nothing of a child that shares its memory',
  );
  const forks = of(session, RecordKind.FORK).filter((one) => one.ring === first.index);
  assert.deepEqual(
    forks.map((one) => [one.op, one.result > 0n]),
    [
      [Fork.FORK, true],
      [Fork.VFORK, true],
      [Fork.CLONE, true],
      [Fork.CLONE, true],
      [Fork.CLONE, true],
      [Fork.SPAWN, true],
      [Fork.SPAWN, true],
      [Fork.SPAWN, false],
      [Fork.VFORK, true],
      [Fork.FORK, true],
      [Fork.FORK, true],
      [Fork.FORK, true],
      [Fork.FORK, true],
    ],
  );
  const inChild = forks.map((fork) => {
    const all = rings.filter((ring) => BigInt(ring.pid) === fork.result);
    return all.reduce((sum, ring) => sum + reads(ring.pid, ring.process), 0);
  });
  assert.deepEqual(inChild, [2, 0, 2, 2, 0, 3, 3, 0, 3, 3, 3, 2, 1]);
  const exits = of(session, RecordKind.EXIT).map((one) => one.op);
  // The children of libc's clone end by a bare system call of libc's own.
  assert.deepEqual([...exits].sort(), [11, 13, 14, 14, 14, 14, 14, 14, 17, 18]);
  const execs = of(session, RecordKind.EXEC).filter((one) => one.ring === first.index);
  assert.deepEqual(
    execs.map((one) => [text(one, PayloadRole.PATH) === driver, one.errno]),
    [
      [true, 0],
      [true, 14],
      [true, 0],
      [true, 14],
      [false, 0],
      [false, 2],
      [true, 0],
    ],
  );
  assert.equal(first.state, RingState.LEFT, 'the image that exec replaced gave its ring back');
  assert.equal(of(session, RecordKind.UNSEEN).length, 0, 'each image knew what it inherited');
});

test('threads that share a TLS share a ring, and nothing is lost of either', async () => {
  for (const throughSyscall of ['0', '1']) {
    const session = await record(['shared-tls', throughSyscall], 0, { recordsLog2: 17 });
    const reads = of(session, RecordKind.READ);
    assert.equal(reads.length, 1 + 2 * 20_000);
    assert.equal(new Set(reads.slice(1).map((one) => one.offset)).size, 2 * 20_000);
    assert.equal(new Set(reads.map((one) => one.ring)).size, 1);
  }
});

test('a daemon, its parent, and where it came from', async () => {
  const session = await record(['daemon']);
  const forks = of(session, RecordKind.FORK);
  assert.equal(forks.length, 2);
  const daemon = session.rings().find((ring) => BigInt(ring.pid) === forks[1]?.result);
  assert.equal(daemon?.records.filter((one) => one.kind === RecordKind.READ).length, 2);
  const exits = of(session, RecordKind.EXIT).map((one) => one.op);
  assert.deepEqual([...exits].sort(), [0, 0, 19], 'the daemon, its parent, the first process');
});

test('an idle child that inherited a device is not taken for one that opened it unseen', async () => {
  const session = new RawSession();
  sessions.push(session);
  const watch = new ProcessWatch(session.directory, /memfd:vfiotape-standin/);
  const ended = await session.run(standin, [driver, 'idle'], async (pid) => {
    watch.mainPid = pid;
    for (let scans = 0; scans < 10; scans++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      watch.refresh();
      watch.scan();
    }
  });
  assert.equal(ended.status, 0, ended.output);
  assert.deepEqual([...watch.unseen.values()], []);
});

test('an exec keeps the libraries that are preloaded beside ours', async () => {
  const other = '/lib/x86_64-linux-gnu/libm.so.6';
  const session = new RawSession();
  sessions.push(session);
  const ended = await session.run(standin, [driver, 'preloads', other]);
  assert.deepEqual([ended.status, ended.output], [0, `${other}:${standin}\n`]);
});

test('threads: a ring each, given back at their end', async () => {
  const session = await record(['threads']);
  const rings = session.rings();
  const perThread = rings.filter((ring) => ring.pid !== ring.tid);
  assert.equal(perThread.length, 12);
  for (const ring of perThread) {
    const reads = ring.records.filter((one) => one.kind === RecordKind.READ).length;
    assert.equal(reads, 101, 'the last one by a destructor of the thread');
    assert.equal(ring.records[0]?.kind, RecordKind.THREAD);
    assert.equal(ring.records[1]?.kind, RecordKind.CLOCK);
    assert.equal(ring.state, RingState.LEFT);
  }
});

test('a signal handler that records, over a thread that records', async () => {
  const session = new RawSession({ recordsLog2: 17, sideLog2: 24 });
  sessions.push(session);
  const ended = await session.run(standin, [driver, 'signals']);
  assert.equal(ended.status, 0, ended.output);
  const handled = Number(ended.output);
  const records = session.records();
  assert.ok(records.every((one) => one.whole));
  const at = (offset: bigint, length: number): number =>
    records.filter(
      (one) =>
        one.kind === RecordKind.READ && one.offset === offset && one.segments[0]?.data.length === length,
    ).length;
  assert.equal(at(0x80n, 24), 20000);
  assert.equal(at(0x40n, 40), handled);
  assert.equal(records.filter((one) => one.kind === RecordKind.IOCTL).length, handled);
  assert.ok(session.rings().every((ring) => ring.inflightKind === RecordKind.NONE));
});

test('descriptors over sockets keep their object', async () => {
  const session = await record(['sockets']);
  const object = of(session, RecordKind.OPEN)[0]?.object;
  assert.deepEqual(
    of(session, RecordKind.SEND_FD).map((one) => one.object),
    [object, object],
  );
  assert.deepEqual(
    of(session, RecordKind.RECV_FD).map((one) => [one.object, one.segments[0]?.data.readUInt32LE(0)]),
    [
      [object, ObjectKind.DEVICE],
      [object, ObjectKind.DEVICE],
    ],
  );
  assert.equal(of(session, RecordKind.READ).length, 2);
});

test('a full ring whose collector is gone: events are dropped and counted, the driver goes on', async () => {
  for (const whenFull of [WhenFull.BLOCK, WhenFull.DROP]) {
    const session = await record(['flood', '5000'], 0, { recordsLog2: 10, whenFull });
    const ring = session.rings()[0];
    assert.ok(ring);
    const kept = ring.records.filter((one) => one.kind === RecordKind.READ).length;
    assert.ok(kept > 900 && kept <= 1024, String(kept));
    // The reads that were dropped, and the record of the exit.
    assert.equal(ring.lost, BigInt(5000 - kept + 1));
  }
});

test('no ring to be had: counted', async () => {
  const session = await record(['flood', '10'], 0, { ringLimit: 0 });
  assert.equal(session.rings().length, 0);
  assert.ok(session.control(ControlField.lostNoRing) >= 10);
});

test('limits on files are for the driver, and not its death', async () => {
  const session = await record(['limits']);
  assert.equal(of(session, RecordKind.READ).length, 1, 'by the thread that had its ring already');
  assert.ok(session.control(ControlField.lostNoRing) >= 100, 'the other could have none');
});

test('the call that a driver dies in is known', async () => {
  const session = new RawSession();
  sessions.push(session);
  const ended = await session.run(standin, [driver, 'stuck'], async (pid) => {
    for (let tries = 0; tries < 200; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (session.rings().some((ring) => ring.inflightKind === RecordKind.READ && ring.records.length >= 7))
        break;
    }
    process.kill(pid, 'SIGKILL');
  });
  assert.equal(ended.signal, 'SIGKILL');
  const ring = session.rings()[0];
  assert.equal(ring?.inflightKind, RecordKind.READ);
  assert.equal(ring.records.filter((one) => one.kind === RecordKind.READ && one.whole).length, 3);
});

test('closing what was never open takes no ring', async () => {
  // The parent is not the collector: no ring is taken at the start.
  const session = new RawSession();
  sessions.push(session);
  const command = `${driver} range & wait $!`;
  const ended = await session.run(standin, ['/bin/sh', '-c', command]);
  assert.equal(ended.status, 0, ended.output);
  assert.deepEqual([...new Set(session.rings().map((ring) => ring.pid))], [ended.pid]);
});

test('a descriptor that was never seen born is taken in and counted', async () => {
  const session = await record(['unseen']);
  const unseen = of(session, RecordKind.UNSEEN);
  assert.equal(unseen.length, 1);
  assert.equal(unseen[0]?.segments[1]?.data.readUInt32LE(0), ObjectKind.DEVICE);
  assert.equal(of(session, RecordKind.IOCTL)[0]?.object, unseen[0]?.object);
});

test('every way to end says its status', async () => {
  for (const how of ['quick', 'return']) {
    const session = await record([how, '7'], 7);
    assert.deepEqual(
      of(session, RecordKind.EXIT).map((one) => one.op),
      [7],
      how,
    );
    assert.deepEqual([...session.attached().values()], [1]);
  }
});
