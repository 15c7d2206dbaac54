// SPDX-License-Identifier: Apache-2.0
/** `dump` and `info` as a shell sees them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EventKind } from '../../traces/model.js';
import { nvmeSession } from '../synthetic/nvme.js';
import { SUMMARY, writeSession } from '../synthetic/write.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-cli-'));
const file = join(directory, 't.vtape');
// This file is main.ts's neighbour's neighbour, compiled or not.
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const main = fileURLToPath(new URL(`../../cli/main.${extension}`, import.meta.url));

before(async () => {
  const session = nvmeSession();
  // More than a pipe holds, so that `head` leaves while dump still writes.
  for (let i = 0; i < 20_000; i++)
    session.add({ kind: EventKind.MADVISE, offset: BigInt(i), value: 4096n, op: 4 });
  await writeSession(file, session, SUMMARY);
});
after(() => rmSync(directory, { recursive: true, force: true }));

function vfiotape(
  words: readonly string[],
  input?: Uint8Array,
): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, main, ...words], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...(input && { input }),
  });
  return { status, stdout, stderr };
}

test('dump prints every event, and the same from standard input', () => {
  const { status, stdout, stderr } = vfiotape(['dump', file]);
  assert.deepEqual([status, stderr], [0, '']);
  assert.equal(stdout.split('\n').length - 1, 20_060);
  assert.equal(vfiotape(['dump', '-'], readFileSync(file)).stdout, stdout);
});

test('--from and --to are the numbers that dump shows, both included', () => {
  const { stdout } = vfiotape(['dump', file, '--from', '10', '--to', '12']);
  assert.deepEqual(stdout.match(/^ *\d+/gm)?.map(Number), [10, 11, 12]);
});

test('a reader that has seen enough is no error', () => {
  const command = `${process.execPath} ${process.execArgv.join(' ')} ${main} dump ${file} | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.match(stdout, /^ {6}0 .*\n0\n$/);
});

test('mistakes are one line and status 2', () => {
  const garbage = join(directory, 'garbage');
  writeFileSync(garbage, 'not a trace at all');
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [
      ['dump', file, '--filter', 'kind=bogus'],
      /^vfiotape: filter 'kind=bogus', column 6: 'bogus' is not one of .*\n$/,
    ],
    [['dump', file, '--from', '-1'], /^vfiotape: dump: --from needs the number of an event, from 0\n$/],
    [['dump', join(directory, 'absent.vtape')], /^vfiotape: .*absent\.vtape.*\n$/],
    [['dump', garbage], /^vfiotape: .*garbage.*\n$/],
    [['info', garbage], /^vfiotape: .*garbage.*\n$/],
    [['info'], /^vfiotape: info: too few arguments; .*\n$/],
  ];
  for (const [words, message] of cases) {
    const { status, stdout, stderr } = vfiotape(words);
    assert.equal(status, 2, words.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, message);
  }
});

test('a trace that was cut off is shown as far as it goes, and what is missing is said', () => {
  const cut = join(directory, 'cut.vtape');
  const whole = readFileSync(file);
  writeFileSync(cut, whole.subarray(0, whole.length - 10));
  const { status, stdout, stderr } = vfiotape(['dump', cut]);
  assert.equal(status, 0);
  assert.equal(stdout.split('\n').length - 1, 20_060);
  assert.match(stderr, /cut\.vtape: /);
  assert.match(vfiotape(['info', cut]).stdout, /^.*cut\.vtape: incomplete: /);
});

test('info --json is one object', () => {
  const { status, stdout } = vfiotape(['info', file, '--json']);
  assert.equal(status, 0);
  const info = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(info['events'], 20_060);
  assert.equal(info['complete'], false);
  assert.deepEqual(
    (info['objects'] as { name: string }[]).map(({ name }) => name),
    ['container0', 'group0', 'device0', 'eventfd0'],
  );
});
