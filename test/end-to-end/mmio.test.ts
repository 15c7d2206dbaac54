// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LossCause } from '../../recorder/seal/summary.js';
import { type Event, EventFlag, EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { buildDriver, type Outcome, recordStandin, root, run, scratchDirectory } from './harness.js';

// What drivers do around a BAR (drivers/mmio.c): each subject ends as it ends without a recorder, and each of its loads
// and stores is in the trace, once.

const scratch = scratchDirectory();
const driver = buildDriver('mmio');
const probes = { PROBE_A: library('a'), PROBE_B: library('b', '-DSECOND') };

/** The same library in two builds, for a driver that loads, unloads and replaces it. */
function library(name: string, ...flags: readonly string[]): string {
  const file = join(scratch, `probe-${name}.so`);
  execFileSync(process.env['CC'] ?? 'cc', [
    ...['-O1', '-shared', '-fPIC', ...flags, '-o', file, join(root, 'test/end-to-end/drivers/mmio-probe.c')],
  ]);
  return file;
}

interface Recorded extends Outcome {
  readonly accesses: readonly Event[];
  readonly events: readonly Event[];
}

function record(subject: string, ...settings: readonly string[]): Recorded {
  const trace = join(scratch, `${subject}${settings.join('')}.vtape`);
  const outcome = run(process.execPath, [recordStandin, trace, ...settings, driver, subject], {
    env: { ...process.env, ...probes },
  });
  const reader = openTrace(trace);
  const events = [...reader.events()];
  assert.deepEqual(reader.damages, []);
  assert.deepEqual(reader.summary?.losses ?? [], [], `${subject}: something was lost`);
  reader.close();
  const accesses = events.filter(
    ({ kind }) => kind === EventKind.LOAD || kind === EventKind.STORE || kind === EventKind.UPDATE,
  );
  return { ...outcome, events, accesses };
}

/** What the driver counted itself. */
function counted({ stdout, stderr }: Outcome): number {
  const [, count] = /^accesses (\d+)$/m.exec(stdout) ?? [];
  assert.ok(count !== undefined, `no count:\n${stdout}${stderr}`);
  return Number(count);
}

const EXPECTED: Readonly<Record<string, number>> = { die: 128 + 11, 'die-bus': 128 + 7 };

const subjects: Readonly<Record<string, string>> = {
  plain: 'loads and stores of several widths',
  blocked: 'all signals blocked, SIGSEGV reset and ignored',
  'own-handler': 'a SIGSEGV handler of its own gets its own faults, with true addresses',
  sigbus: 'a device that refuses accesses gives the driver its SIGBUS',
  die: 'a wild store ends the driver by SIGSEGV',
  'die-bus': 'a refused access ends the driver by SIGBUS',
  pointers: 'system calls are given pointers into the BAR',
  forks: 'fork, bare clone, vfork and clone with CLONE_VM',
  exec: 'exec after accesses',
  mappings: 'MAP_FIXED, partial munmap, mprotect, mremap, overlays, an access across the edge',
  libraries: 'libraries with patched sites come and go at the same address',
  generated: 'generated code that is rewritten',
  'bare-thread': 'a thread made by clone on its parent’s thread-local storage',
  nested: 'a signal handler that touches the BAR in between',
  'small-stacks': 'signals on stacks of 8 KiB, in several threads at once',
  'taken-code': 'memory that holds the watcher’s code is taken by MAP_FIXED',
  rewritten: 'text that is made writable is its own again, and may be rewritten',
  confined: 'a seccomp filter that refuses membarrier: what was not patched by then is trapped',
  'handed-over': 'a BAR that is mapped for DMA, and into a guest',
  masks: 'signal masks, breakpoints and pending signals look as they should',
};

for (const mode of ['patch', 'trap']) {
  for (const [subject, what] of Object.entries(subjects)) {
    if (mode === 'trap' && subject === 'nested') continue; // 200 000 signals, and nothing new
    test(`${mode}: ${what}`, () => {
      const recorded = record(subject, `--mmio=${mode}`);
      assert.equal(recorded.status, EXPECTED[subject] ?? 0, recorded.stderr);
      assert.equal(recorded.accesses.length, counted(recorded));
      for (const event of recorded.accesses) assert.equal(event.flags & EventFlag.INTENT, 0);
    });
  }
}

for (const threads of [2, 4]) {
  test(`${threads} threads hammer shared and neighbouring sites`, () => {
    const recorded = record(`threads-${threads}`, '--mmio=patch');
    assert.equal(recorded.status, 0, recorded.stderr);
    assert.equal(recorded.accesses.length, counted(recorded));
  });
}

test('values are in the trace, in each thread’s order', () => {
  const { accesses } = record('plain', '--mmio=patch');
  const pairs = accesses.slice(0, 20);
  for (const [n, event] of pairs.entries()) {
    assert.equal(event.kind, n % 2 === 0 ? EventKind.STORE : EventKind.LOAD);
    assert.equal(event.offset, 0x100n);
    assert.equal(event.value, BigInt(n >> 1));
  }
});

test('--watch: what lies on the same page is not recorded, and works', () => {
  const recorded = record('filtered', '--mmio=patch', '--watch=BAR0:0x1000-0x1fff');
  assert.equal(recorded.status, 0, recorded.stderr);
  assert.equal(recorded.accesses.length, counted(recorded));
  const word = record('filtered', '--mmio=patch', '--watch=BAR0:0xff8-0x1003');
  assert.equal(word.status, 0, word.stderr);
  assert.equal(word.accesses.length, 40, 'both 0xffc and 0x1000');
  const parts = record('filtered-parts', '--mmio=patch', '--watch=BAR0:0xff8-0xfff,BAR0:0x1000-0x1003');
  assert.equal(parts.status, 0, parts.stderr);
  assert.equal(parts.accesses.length, counted(parts), 'also after the second part was unmapped');
});

test('libc’s memcpy and memset on a BAR', () => {
  const { status, stderr, accesses } = record('bytes', '--mmio=patch');
  assert.equal(status, 0, stderr);
  assert.ok(accesses.length > 20);
});

test('a monitor is told that regions can’t be mapped, from when it opens /dev/kvm', () => {
  const patched = record('monitor', '--mmio=patch');
  assert.equal(patched.status, 0, patched.stderr);
  assert.match(patched.stdout, /mappable-before 1\nmappable-after 0\n/);
  const through = record('monitor', '--mmio=syscalls');
  assert.match(through.stdout, /mappable-before 0\nmappable-after 0\n/);
  assert.equal(through.events.filter(({ kind }) => kind === EventKind.WRITE).length, 1);
});

test('a libZydis that is there and doesn’t work: the driver runs on, and the trace says that it is incomplete', () => {
  const directory = join(scratch, 'empty');
  const trace = join(scratch, 'empty.vtape');
  mkdirSync(directory);
  execFileSync(process.env['CC'] ?? 'cc', [
    ...['-shared', '-x', 'c', '/dev/null', '-o', join(directory, 'libZydis.so.4.0')],
  ]);
  const { status, stderr } = run(process.execPath, [recordStandin, trace, '--mmio=patch', driver, 'plain'], {
    env: { ...process.env, LD_LIBRARY_PATH: directory },
  });
  assert.equal(status, 0, stderr);
  const reader = openTrace(trace);
  assert.equal([...reader.events()].filter(({ kind }) => kind === EventKind.LOAD).length, 0);
  assert.deepEqual(
    reader.summary?.losses.map(({ cause }) => cause),
    [LossCause.SHIM],
  );
  reader.close();
});

test('off: nothing is watched', () => {
  const { status, accesses } = record('plain', '--mmio=off');
  assert.equal(status, 0);
  assert.equal(accesses.length, 0);
});
