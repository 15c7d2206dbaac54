// SPDX-License-Identifier: Apache-2.0
/** Every instruction form, in every way in which an access can be caught, against its plain execution. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildWithRig } from './test/build.js';
import { assembly } from './test/forms.js';

const PATCH = '1';
const TRAP = '2';
const scratch = join(tmpdir(), `vfiotape-forms-${process.pid}.S`);
let anywhere = '';
let low = '';
let holds = '';

before(() => {
  writeFileSync(scratch, assembly());
  anywhere = buildWithRig('forms', [], scratch);
  low = buildWithRig('forms', ['-no-pie'], scratch);
  holds = buildWithRig('holds', []);
});
after(() => {
  for (const file of [scratch, anywhere, low, holds]) rmSync(file, { force: true });
});

/** The figures that forms.c prints: "sites: patched 2874 trapped 0 …". */
function run(program: string, ...args: readonly string[]): Record<string, number> {
  const { status, signal, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 120_000 });
  assert.equal(status, 0, `${args.join(' ')}: ${signal ?? ''}\n${stdout}${stderr}`);
  const figures: Record<string, number> = {};
  for (const [, name, value] of stdout.matchAll(/(\w+) (\d+)/g)) figures[name ?? ''] = Number(value);
  return figures;
}

test('patched sites do what the instruction does, and record it', () => {
  const figures = run(anywhere, PATCH, '1');
  assert.equal(figures['failures'], 0);
  assert.ok((figures['runs'] ?? 0) > 90_000, 'forms × addressing × alignments × rounds');
  assert.ok((figures['patched'] ?? 0) > 2800 && figures['trapped'] === 0);
  assert.ok(
    (figures['direct'] ?? 0) > 1000 && (figures['punned'] ?? 0) > 1000 && (figures['repunned'] ?? 0) > 0,
  );
  assert.ok((figures['copy'] ?? 0) > 0 && (figures['key'] ?? 0) + (figures['held'] ?? 0) > 0);
});

test('trapped sites do, too', () => {
  const figures = run(anywhere, TRAP, '1');
  assert.equal(figures['patched'], 0);
  assert.ok((figures['trapped'] ?? 0) > 2800);
});

test('2 and 4 threads meet the same sites at once: each access is recorded once', () => {
  // How often a thread runs into a site while it is being patched is chance; that it never does would be no test.
  let races = 0;
  for (let runs = 0; runs < 4 || (races === 0 && runs < 40); runs++) {
    races += run(anywhere, PATCH, ['2', '4', '3', '4'][runs % 4] ?? '4')['races'] ?? 0;
  }
  assert.ok(races > 0, 'no thread ran into a site while it was being patched');
});

test('two threads that trap', () => {
  run(anywhere, TRAP, '2');
});

test('without protection keys, the other threads are held while one steps', () => {
  assert.ok((run(anywhere, PATCH, '1', 'nokey')['held'] ?? 0) > 0);
  assert.ok((run(anywhere, PATCH, '2', 'nokey')['held'] ?? 0) > 0);
  // The kernel then sends their signals without what tells them from others.
  assert.ok((run('prlimit', '--sigpending=0', anywhere, PATCH, '4', 'nokey')['held'] ?? 0) > 0);
});

test('a thread that is held doesn’t notice, whatever it was about; nothing moves meanwhile', () => {
  const figures = run(holds, '200');
  for (const name of ['counted', 'copied', 'begun', 'handled']) assert.ok((figures[name] ?? 0) > 0, name);
});

test('more sites than the table holds: each access is stepped where it stands', () => {
  const figures = run(anywhere, PATCH, '1', 'crowded');
  assert.equal(figures['patched'], 0);
  assert.ok((figures['accesses'] ?? 0) > 20_000);
});

test('on a simulated device, by messages', () => {
  for (const threads of ['1', '2']) {
    const figures = run(anywhere, TRAP, threads, 'simulated');
    assert.equal(figures['patched'], 0);
    assert.equal(figures['failures'], 0);
    assert.ok((figures['trapped'] ?? 0) > 2800 && (figures['runs'] ?? 0) > 50_000);
  }
});

test('another clock than the processor’s: all records go through C', () => {
  run(anywhere, PATCH, '1', 'monotonic');
});

test('a full ring, or a recorder that stopped, changes nothing for the driver', () => {
  for (const why of ['full', 'stopped']) assert.equal(run(anywhere, PATCH, '2', why)['accesses'], 0);
});

test('at a low address, where half of all jump targets are not memory: padding is used, the rest traps', () => {
  for (const threads of ['1', '2']) {
    const figures = run(low, PATCH, threads);
    assert.ok((figures['padding'] ?? 0) > 0 && (figures['evicted'] ?? 0) > 0);
    assert.ok((figures['patched'] ?? 0) > (figures['trapped'] ?? 0));
  }
});
