// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDriver, command, recordStandin, run, scratchDirectory } from './harness.js';

// The driver must not notice that it is recorded.

const scratch = scratchDirectory();

/** The recorder's own lines, which go to the same standard error as the driver's. */
function withoutOurs(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => !line.startsWith('vfiotape: '))
    .join('\n');
}

test('every entry point gives the same result and errno with the shim as without', () => {
  const sweep = buildDriver('sweep');
  const file = join(scratch, 'sweep-file');
  writeFileSync(file, '');
  const plain = run(sweep, [file]);
  assert.equal(plain.status, 0, plain.stderr);
  assert.ok(plain.stdout.split('\n').length > 350);
  const standin = run(process.execPath, [recordStandin, join(scratch, 'sweep.vtape'), sweep, file]);
  assert.equal(standin.stdout, plain.stdout);
  const shipped = run(process.execPath, [
    command,
    'record',
    '-o',
    join(scratch, 'sweep2.vtape'),
    '--',
    sweep,
    file,
  ]);
  assert.equal(shipped.stdout, plain.stdout);
  for (const { status, stderr } of [standin, shipped]) {
    assert.equal(status, 0);
    assert.equal(withoutOurs(stderr), plain.stderr);
  }
});

function record(...words: readonly string[]): ReturnType<typeof run> {
  return run(process.execPath, [command, 'record', '-o', join(scratch, 'record.vtape'), ...words]);
}

test('arguments, environment, directory and standard streams arrive as they were', () => {
  const show =
    'printf "<%s>" "$@"; pwd; cat; env | grep -v -e ^LD_PRELOAD= -e ^VFIOTAPE_ -e ^_= | sort; echo aside >&2';
  const words = ['sh', '-c', show, 'sh', '--help', '', 'a b', '-o', '--', '0x10', '$HOME'];
  const options = {
    cwd: scratch,
    env: { PATH: process.env['PATH'], ODD: 'a=b c', EMPTY: '' },
    input: 'from standard input\n',
    stdio: 'pipe' as const,
  };
  const plain = run(words[0] as string, words.slice(1), options);
  const recorded = run(
    process.execPath,
    [command, 'record', '-o', join(scratch, 'r.vtape'), '--', ...words],
    options,
  );
  assert.equal(recorded.stdout, plain.stdout);
  assert.equal(withoutOurs(recorded.stderr), plain.stderr);
  assert.equal(recorded.status, plain.status);
});

test('an LD_PRELOAD of the user’s own stays in force behind the shim', () => {
  const env = { ...process.env, LD_PRELOAD: 'libm.so.6' };
  const outcome = run(
    process.execPath,
    [command, 'record', '-o', join(scratch, 'p.vtape'), 'sh', '-c', 'echo $LD_PRELOAD'],
    { env },
  );
  assert.match(outcome.stdout, /libvfiotape\.so:libm\.so\.6\n$/);
});

test('the driver’s exit status is the recorder’s, and its signal 128 + n', () => {
  assert.equal(record('--', 'sh', '-c', 'exit 0').status, 0);
  assert.equal(record('--', 'sh', '-c', 'exit 1').status, 1);
  assert.equal(record('--', 'sh', '-c', 'exit 200').status, 200);
  assert.equal(record('--', 'sh', '-c', 'kill -TERM $$').status, 128 + 15);
  assert.equal(record('--', 'sh', '-c', 'kill -KILL $$').status, 128 + 9);
});

test('a driver without -- keeps its options, too', () => {
  const { status, stdout } = record('sh', '-c', 'echo "$1"; exit 4', 'sh', '--json');
  assert.equal(stdout, '--json\n');
  assert.equal(status, 4);
});
