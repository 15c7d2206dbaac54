// SPDX-License-Identifier: Apache-2.0
// `record` and `recover` as a user has them, under load and in adversity. The driver is ring-producer: it fills rings as
// the shim does, at any rate and without a device, and numbers its events.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventKind, type TraceSummary } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { command, root, run, scratchDirectory, vfiotape } from './harness.js';

const scratch = scratchDirectory();
const producer = join(scratch, 'ring-producer');
const isRoot = process.geteuid?.() === 0;
let files = 0;
const newTrace = (): string => join(scratch, `${files++}.vtape`);

before(() => {
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-pthread'];
  execFileSync(process.env['CC'] ?? 'cc', [
    ...flags,
    '-o',
    producer,
    join(root, 'test/bench/ring-producer.c'),
  ]);
});

interface Sequence {
  readonly thread: number;
  readonly first: bigint;
  readonly count: number;
}

/** The numbers that each producer thread wrote: without a gap, each with its payload, or the test fails. */
function sequences(path: string): Sequence[] {
  const trace = openTrace(path);
  const found = new Map<number, { first: bigint; count: number }>();
  for (const batch of trace.batches()) {
    for (let row = batch.begin; row < batch.end; row++) {
      if (batch.kind[row] !== EventKind.READ) continue;
      const thread = batch.thread[row] as number;
      const value = batch.value[row] as bigint;
      const known = found.get(thread);
      if (known === undefined) found.set(thread, { first: value, count: 1 });
      else {
        assert.equal(value, known.first + BigInt(known.count), `thread ${thread}`);
        known.count += 1;
      }
      const [payload] = batch.payloads.of(row);
      if (payload === undefined) continue;
      const { buffer, byteOffset } = payload.data;
      assert.equal(
        new DataView(buffer, byteOffset).getBigUint64(0, true),
        value,
        'the payload is this event’s',
      );
    }
  }
  assert.deepEqual(trace.damages, []);
  trace.close();
  return [...found].map(([thread, { first, count }]) => ({ thread, first, count }));
}

/** What the end of a trace says. */
function summaryOf(path: string): TraceSummary {
  const trace = openTrace(path);
  const { summary, damages, eventCount } = trace;
  trace.close();
  assert.deepEqual(damages, []);
  assert.ok(summary !== undefined);
  assert.equal(summary.events, eventCount);
  return summary;
}

function producedBy(stdout: string): number {
  return Number(/^events (\d+) /m.exec(stdout)?.[1]);
}

const total = (found: readonly Sequence[]): number => found.reduce((sum, { count }) => sum + count, 0);

describe('record', () => {
  it('keeps every event of three busy threads, with its payload', () => {
    const path = newTrace();
    const done = vfiotape('record', '-o', path, '--', producer, '-', '3', '100000', '60000', '300');
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /^vfiotape: .*: 180,0\d\d events, .*, nothing lost/m);
    assert.equal(producedBy(done.stdout), 180_000);
    assert.deepEqual(
      sequences(path).map(({ count }) => count),
      [60_000, 60_000, 60_000],
    );
    assert.equal(summaryOf(path).complete, true);
  });

  it('keeps those of 200 threads and of 20 processes', () => {
    const path = newTrace();
    const threads = vfiotape('record', '-o', path, '--', producer, '-', '200', '500', '200', '16');
    assert.equal(threads.status, 0, threads.stderr);
    assert.deepEqual(
      sequences(path).map(({ count }) => count),
      Array<number>(200).fill(200),
    );
    const script = `for i in $(seq 20); do ${producer} - 1 5000 1000 >/dev/null & done; wait; exit 5`;
    const processes = vfiotape('record', '-o', path, '--', 'sh', '-c', script);
    assert.equal(processes.status, 5, processes.stderr);
    assert.deepEqual(
      sequences(path).map(({ count }) => count),
      Array<number>(20).fill(1000),
    );
  });

  it('gives rings back to those who come: a storm of processes', () => {
    const path = newTrace();
    const script = `i=0; while [ $i -lt 300 ]; do ${producer} - 1 0 20 >/dev/null; i=$((i+1)); done`;
    const done = vfiotape('record', '-o', path, '--buffer', '64K', '--', 'sh', '-c', script);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stderr, /nothing lost/);
    assert.equal(total(sequences(path)), 6000);
  });

  it('waits no more than it must in a small buffer, and loses nothing', () => {
    const path = newTrace();
    const done = vfiotape(
      'record',
      '-o',
      path,
      '--buffer',
      '64K',
      '--',
      producer,
      '-',
      '2',
      '0',
      '50000',
      '32',
    );
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual(
      sequences(path).map(({ count }) => count),
      [50_000, 50_000],
    );
  });

  it('keeps the last of a recording that outgrows --max-size', () => {
    const path = newTrace();
    // Payload that does not shrink much, so that the limit matters.
    const done = vfiotape(
      'record',
      '-o',
      path,
      '--max-size',
      '1M',
      '--',
      producer,
      '-',
      '1',
      '400000',
      '1200000',
      '8',
    );
    assert.equal(done.status, 0, done.stderr);
    assert.ok(statSync(path).size <= 1 << 20, `${statSync(path).size} bytes`);
    const [kept] = sequences(path);
    assert.ok(kept !== undefined);
    assert.equal(kept.first + BigInt(kept.count), 1_200_000n, 'the last one is there');
    assert.ok(kept.first === 0n || summaryOf(path).droppedEvents > 0);
  });

  it('stops at --max-size when told so, and the driver runs on', () => {
    const path = newTrace();
    const limits = ['--max-size', '1M', '--at-limit', 'stop'];
    const done = vfiotape(
      'record',
      '-o',
      path,
      ...limits,
      '--',
      producer,
      '-',
      '1',
      '400000',
      '2000000',
      '64',
    );
    assert.equal(done.status, 0, done.stderr);
    assert.ok(statSync(path).size <= 1 << 20);
    const [kept] = sequences(path);
    assert.equal(kept?.first, 0n);
    assert.ok((kept?.count ?? 0) > 50_000, `${kept?.count} events in ${statSync(path).size} bytes`);
    assert.equal(summaryOf(path).stoppedBy, 'max-size');
  });

  it('stops after --duration, and the driver runs on', () => {
    const path = newTrace();
    const done = vfiotape(
      'record',
      '-o',
      path,
      '--duration',
      '300ms',
      '--',
      'sh',
      '-c',
      'sleep 5; echo on; exit 3',
    );
    assert.equal(done.status, 3);
    assert.equal(done.stdout, 'on\n');
    assert.match(done.stderr, /recording ended \(duration\); the driver runs on/);
    assert.equal(summaryOf(path).stoppedBy, 'duration');
  });

  it('keeps the driver running on a full disk, and counts what was lost', (t) => {
    const path = newTrace();
    const record = `exec ${process.execPath} ${command} record -o ${path} -- ${producer} - 2 300000 300000 64`;
    const done = run('/bin/sh', ['-c', `ulimit -f 600; ${record}`]);
    assert.equal(done.status, 0, done.stderr);
    assert.equal(producedBy(done.stdout), 600_000);
    assert.match(done.stderr, /INCOMPLETE/);
    assert.match(done.stderr, /lost: [\d,]+ events that could not be written \(EFBIG\)/);
    const { events, losses, kindCounts } = summaryOf(path);
    const lost = losses.reduce((sum, loss) => sum + loss.events, 0);
    assert.equal(
      kindCounts.reduce((sum, count) => sum + count, 0),
      events,
    );
    assert.ok(events + lost >= 600_000, `${events} there, ${lost} lost`);
    if (!isRoot) {
      t.diagnostic('a full file system is tried as root only');
      return;
    }
    const small = join(scratch, 'small');
    mkdirSync(small);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=300k', 'none', small]).status !== 0) {
      t.diagnostic('tmpfs can’t be mounted here');
      return;
    }
    try {
      const output = join(small, 't.vtape');
      const full = vfiotape('record', '-o', output, '--', producer, '-', '1', '300000', '500000', '64');
      assert.equal(full.status, 0, full.stderr);
      assert.match(full.stderr, /could not be written \(ENOSPC\)/);
      summaryOf(output);
    } finally {
      spawnSync('umount', [small]);
    }
  });

  it('passes the driver what a shell would: argv[0], descriptors, environment, limits of its own, status', () => {
    const path = newTrace();
    const print = 'echo "$0 $*"; ulimit -Sn; cat <&7; env | grep ^MARK; cat; exit 42';
    const file = join(scratch, 'seven');
    writeFileSync(file, 'seven\n');
    const line = `ulimit -Sn 200; exec 7<${file}; echo standard-input | MARK=x ${process.execPath} ${command} record -o ${path} -- bash -c '${print}' name arg`;
    const done = run('/bin/bash', ['-c', line]);
    assert.equal(done.stdout, 'name arg\n200\nseven\nMARK=x\nstandard-input\n');
    assert.equal(done.status, 42);
    const killed = vfiotape('record', '-o', path, '--', 'bash', '-c', 'kill -SEGV $$');
    assert.equal(killed.status, 128 + 11);
    assert.deepEqual(
      summaryOf(path).endings.map(({ signal }) => signal),
      [11],
    );
  });

  it('records what outlives the driver, until that ends', () => {
    const path = newTrace();
    const started = Date.now();
    const done = vfiotape(
      'record',
      '-o',
      path,
      '--',
      'bash',
      '-c',
      `(sleep 0.7; ${producer} - 1 0 10 >/dev/null) & exit 0`,
    );
    assert.equal(done.status, 0, done.stderr);
    assert.ok(Date.now() - started >= 700);
    assert.equal(total(sequences(path)), 10);
  });

  it('says that nothing of VFIO was there to record', () => {
    const done = vfiotape('record', '-o', newTrace(), '--', 'true');
    assert.equal(done.status, 0);
    assert.match(done.stderr, /the driver made no VFIO call/);
  });

  it('refuses in one line, with status 2, before anything starts', () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [
        ['-o', '/nonexistent/t.vtape', 'true'],
        /^vfiotape: cannot write .*: there is no directory \/nonexistent\n$/,
      ],
      [['-o', scratch, 'true'], /^vfiotape: cannot write .*: it is a directory\n$/],
      [['-o', producer, 'true'], /^vfiotape: cannot write .*: it exists and is not a trace/],
      [['--max-size', '5X', 'true'], /^vfiotape: --max-size: '5X' is no size; write it like 64M or 2G\n$/],
      [['--duration', 'soon', 'true'], /^vfiotape: --duration: 'soon' is no time/],
      [
        ['--at-limit', 'stop', 'true'],
        /^vfiotape: record: --at-limit says what happens at --max-size; give that, too\n$/,
      ],
      [
        ['no-such-driver-anywhere'],
        /^vfiotape: no driver named 'no-such-driver-anywhere' in PATH; give its path\n$/,
      ],
      [[], /^vfiotape: record: too few arguments/],
    ];
    for (const [words, message] of cases) {
      const done = vfiotape('record', ...words);
      assert.match(done.stderr, message);
      assert.equal(done.status, 2, done.stderr);
      assert.equal(done.stdout, '');
    }
    assert.equal(statSync(producer).size > 0, true, 'what stood in the way is untouched');
  });
});

describe('signals', () => {
  const trapping =
    'trap "echo INT" INT; trap "echo TERM" TERM; echo ready; i=0; while [ $i -lt 12 ]; do sleep 0.1; i=$((i+1)); done; exit 9';

  async function signalled(send: (pid: number) => void): Promise<{ stdout: string; status: number | null }> {
    const args = [command, 'record', '-o', newTrace(), '--', 'bash', '-c', trapping];
    // A process group of its own, as a shell's job has.
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout === '') setTimeout(() => send(child.pid ?? 0), 50);
      stdout += text;
    });
    const [status] = (await once(child, 'close')) as [number | null];
    return { stdout, status };
  }

  it('sent to the recorder alone reach the driver', async () => {
    const done = await signalled((pid) => process.kill(pid, 'SIGTERM'));
    assert.deepEqual(done, { stdout: 'ready\nTERM\n', status: 9 });
  });
  it('sent to the whole group, as Ctrl-C does, reach the driver once', async () => {
    const done = await signalled((pid) => process.kill(-pid, 'SIGINT'));
    assert.deepEqual(done, { stdout: 'ready\nINT\n', status: 9 });
  });
});

describe('a recorder that is killed', () => {
  const sessions = (pid: number): string[] =>
    readdirSync('/dev/shm')
      .filter((name) => name.startsWith('vfiotape-'))
      .map((name) => join('/dev/shm', name))
      .filter((path) => {
        try {
          return (
            (JSON.parse(readFileSync(join(path, 'session.json'), 'utf8')) as { collectorPid: number })
              .collectorPid === pid
          );
        } catch {
          return false;
        }
      });

  it('loses no event and doubles none, whenever it happens', { timeout: 180_000 }, async (t) => {
    if (!existsSync('/dev/shm')) {
      t.skip('no /dev/shm to look for sessions in');
      return;
    }
    for (const wait of [0, 5, 40, 150, 300, 600, 900]) {
      const path = newTrace();
      const output = join(scratch, 'produced');
      const fd = openSync(output, 'w');
      const args = [
        command,
        'record',
        '-o',
        path,
        '--buffer',
        '1M',
        '--',
        producer,
        '-',
        '2',
        '150000',
        '150000',
        '100',
      ];
      const recorder = spawn(process.execPath, args, { stdio: ['ignore', fd, 'ignore'] });
      closeSync(fd);
      // Heard from the start: on a busy machine it may have ended by itself before it is killed.
      const exited = once(recorder, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
      const pid = recorder.pid ?? 0;
      while (!sessions(pid).some((session) => existsSync(join(session, 'ring.001')))) await sleep(5);
      await sleep(wait);
      recorder.kill('SIGKILL');
      const [status, signal] = await exited;
      if (signal === null) {
        assert.equal(status, 0);
        assert.equal(total(sequences(path)), 300_000, 'it had recorded all by itself');
        continue;
      }
      const [session = ''] = sessions(pid);
      // The producer stops when its rings are full and nobody is there, or when it has made all.
      while (!readFileSync(output, 'utf8').includes('events')) await sleep(10);
      const listed = vfiotape('recover');
      assert.equal(listed.status, 2);
      assert.ok(listed.stderr.includes(session), listed.stderr);
      const done = vfiotape('recover', session);
      assert.equal(done.status, 0, done.stderr);
      const found = sequences(path);
      assert.ok(found.every(({ first }) => first === 0n));
      assert.equal(total(found), producedBy(readFileSync(output, 'utf8')), `killed after ${wait} ms`);
      assert.equal(summaryOf(path).stoppedBy, 'recovered');
      assert.equal(existsSync(session), false, 'nothing is left behind');
    }
  });

  it('is not recovered while it lives', { timeout: 60_000 }, async () => {
    const args = [command, 'record', '-o', newTrace(), '--', 'sleep', '60'];
    const recorder = spawn(process.execPath, args, { stdio: 'ignore' });
    const exited = once(recorder, 'exit');
    const pid = recorder.pid ?? 0;
    while (!sessions(pid).some((session) => existsSync(join(session, 'control')))) await sleep(5);
    const done = vfiotape('recover', sessions(pid)[0] ?? '');
    assert.equal(done.status, 2);
    assert.match(done.stderr, /its recorder still runs \(pid \d+\); end that first\n$/);
    recorder.kill('SIGTERM');
    await exited;
    assert.deepEqual(sessions(pid), []);
  });
});
