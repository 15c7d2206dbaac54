// SPDX-License-Identifier: Apache-2.0
// `trim`: a window of a recording still replays, checks and is read; and what users get wrong.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { type Event, EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { vfiotape } from './harness.js';
import { BDF, buildExample, LIMIT, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const pathOf = (name: string): string => join(scratch, `${name}.vtape`);
const DEVICES = ['edu', 'nvme'] as const;

before(() => {
  for (const device of DEVICES) {
    const driver = [buildExample(device, scratch), BDF];
    const { status, stderr } = vfiotape('record', '--sim', device, '-o', pathOf(device), '--', ...driver);
    assert.equal(status, 0, stderr);
  }
});

function eventsOf(path: string): readonly Event[] {
  const trace = openTrace(path);
  const events = [...trace.events()];
  assert.deepEqual(trace.damages, []);
  trace.close();
  return events;
}

function trimmed(path: string, from: number, to: number): { readonly path: string; readonly setUp: number } {
  const output = join(scratch, 'window.vtape');
  const { status, stderr } = vfiotape('trim', path, '--from', String(from), '--to', String(to), '-o', output);
  assert.equal(status, 0, stderr);
  assert.match(
    stderr,
    new RegExp(
      `^vfiotape: .*window.vtape: ${to - from + 1} events? from \\d+ on, after \\d+ events? of set-up, .*\\n$`,
    ),
  );
  return { path: output, setUp: Number(/ from (\d+) on/.exec(stderr)?.[1]) };
}

function divergences(path: string, device: string): number {
  const { status, stdout } = vfiotape('replay', '--on', `sim:${device}`, '--json', path);
  assert.ok(status === 0 || status === 1);
  return Object.values(JSON.parse(stdout).counts as Record<string, number>).reduce((a, b) => a + b, 0);
}

for (const device of DEVICES) {
  test(
    `${device}: windows from anywhere hold their events, and replay with no more divergences than all of it`,
    LIMIT,
    () => {
      const all = eventsOf(pathOf(device));
      const least = divergences(pathOf(device), device);
      for (const share of [0.3, 0.6, 0.9]) {
        const from = Math.floor(all.length * share);
        const to = Math.min(all.length - 1, from + 25);
        const { path, setUp } = trimmed(pathOf(device), from, to);
        const events = eventsOf(path);
        assert.deepEqual(
          events.slice(setUp).map((event) => ({ ...event, number: 0 })),
          all.slice(from, to + 1).map((event) => ({ ...event, number: 0 })),
        );
        assert.ok(setUp <= from);
        const kept = events.slice(0, setUp);
        assert.ok(kept.some(({ kind }) => kind === EventKind.OPEN));
        assert.ok(kept.every(({ kind }) => kind !== EventKind.WAKE && kind !== EventKind.CLOCK));
        assert.ok(divergences(path, device) <= least, `from ${from}`);
        assert.equal(statSync(path).mode & 0o777, 0o600);
      }
    },
  );
}

test('a window says that it is one, and no rule passes for what it can’t see', LIMIT, () => {
  const { path } = trimmed(pathOf('nvme'), 60, 80);
  assert.match(vfiotape('info', path).stdout, /incomplete: it is a window of a longer recording/);
  const check = vfiotape('check', '--format', 'json', path);
  assert.ok(check.status === 0 || check.status === 1, check.stderr);
  assert.match(check.stdout, /it is a window of a longer recording/);
});

test(
  'work before the window is left out: doorbells, devices that were only looked at, maps that are gone',
  LIMIT,
  () => {
    const bench = join(packageRoot(), 'traces/corpus/qemu/img-bench.vtape');
    const all = eventsOf(bench);
    const last = all.findLast(({ kind }) => kind === EventKind.STORE)?.number ?? 0;
    const { path, setUp } = trimmed(bench, last, last);
    const kept = eventsOf(path).slice(0, setUp);
    const count = (events: readonly Event[], kind: number): number =>
      events.filter((event) => event.kind === kind).length;
    const stores = all
      .slice(0, last)
      .filter(({ kind, offset }) => kind === EventKind.STORE && offset >= 0x1000n);
    const most = new Map<bigint, number>();
    for (const { offset } of stores) most.set(offset, (most.get(offset) ?? 0) + 1);
    for (const [offset, times] of most)
      assert.equal(
        kept.filter((event) => event.kind === EventKind.STORE && event.offset === offset).length,
        times > 64 ? 1 : times,
        `doorbell ${offset.toString(16)}`,
      );
    assert.equal(count(kept, EventKind.WAKE), 0);
    assert.ok(kept.length < last);
  },
);

const MISTAKES: readonly (readonly [readonly string[], RegExp])[] = [
  [['TRACE'], /missing required argument: output/],
  [['TRACE', '-o', 'OUT'], /trim: say which events: --from N, --to N, or both/],
  [['TRACE', '--from', 'x', '-o', 'OUT'], /--from needs a number/],
  [['TRACE', '--from', '-1', '-o', 'OUT'], /--from needs the number of an event/],
  [['TRACE', '--from', '1.5', '-o', 'OUT'], /--from needs the number of an event/],
  [['TRACE', '--from', '9', '--to', '3', '-o', 'OUT'], /--to 3 is before --from 9/],
  [['TRACE', '--from', '99999999', '-o', 'OUT'], /--from 99999999: .* has events 0 to \d+/],
  [['TRACE', '--from', '1', '-o', ''], /-o needs the name of a file/],
  [['TRACE', '--from', '1', '-o', 'TRACE'], /is the trace itself/],
  [['TRACE', '--from', '1', '-o', '/nonexistent/u.vtape'], /there is no directory \/nonexistent/],
  [['TRACE', '--from', '1', '-o', '/etc/passwd'], /exists and is not a trace/],
  [['/nonexistent.vtape', '--from', '1', '-o', 'OUT'], /\/nonexistent\.vtape: can't be opened/],
  [['TRACE', 'TRACE', '--from', '1', '-o', 'OUT'], /unexpected argument/],
];

for (const [words, expected] of MISTAKES) {
  test(`trim ${words.join(' ')}: one line, and status 2`, LIMIT, () => {
    const before = readFileSync(pathOf('edu'));
    const real = words.map((word) =>
      word === 'TRACE' ? pathOf('edu') : word === 'OUT' ? join(scratch, 'out.vtape') : word,
    );
    const { status, stderr } = vfiotape('trim', ...real);
    assert.equal(status, 2, stderr);
    assert.match(stderr, expected);
    assert.match(stderr, /^vfiotape: [^\n]*\n$/);
    assert.deepEqual(readFileSync(pathOf('edu')), before);
  });
}

test('what a driver of 2010 registered for by netlink goes with each window', LIMIT, () => {
  const { path } = trimmed(join(packageRoot(), 'traces/corpus/lyon2010/nvme.vtape'), 200, 260);
  assert.match(vfiotape('dump', path).stdout, /send VFIO_MSG_REGISTER device=0000:00:04\.0/);
  assert.doesNotMatch(vfiotape('check', path).stdout, /^note LYON-002/m);
});
