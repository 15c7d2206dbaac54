// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';

const guest = join(packageRoot(), 'test/lab/guest');
let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfiotape-dialogue-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** Reads commands as it executes them, character by character, as testpmd does; what it prints is no prompt that can be found. */
const driver = String.raw`
while IFS= read -r -N 1 c; do
  if [ "$c" != $'\n' ]; then line+=$c; continue; fi
  if [ -n "$line" ]; then
    echo "begin $line $(date +%s%N)"
    case $line in work) sleep 0.7 ;; esac
    printf 'test\nPort 0: link state change event\npmd> \n'
    echo "end $line $(date +%s%N)"
    [ "$line" = quit ] && exit 0
  fi
  line=
done`;

function talk(steps: readonly string[], listener: string): string {
  const status = join(directory, 'status');
  rmSync(status, { force: true });
  const quoted = steps.map((step) => `'${step}'`).join(' ');
  const script = `${guest}/dialogue ${status} ${quoted} | { bash -c "$LISTENER"; echo $? >${status}; }`;
  return execFileSync('bash', ['-c', script], {
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, LISTENER: listener },
  });
}

test('a driver is given its commands though its prompt never appears in one piece', () => {
  const output = talk(['one', 'two words', 'quit'], driver);
  assert.deepEqual(
    [...output.matchAll(/^begin (.*) \d+$/gm)].map(([, line]) => line),
    ['one', 'two words', 'quit'],
  );
});

test('a pause begins when the command before it is done', () => {
  const output = talk(['work', '1', 'quit'], driver);
  const time = (text: string): bigint => BigInt(new RegExp(`^${text} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  assert.ok(time('begin quit') - time('end work') >= 1_000_000_000n, output);
});

test('a driver that ends early ends the dialogue', () => {
  assert.equal(talk(['one', 'two', 'three'], 'read -r line; echo "$line"'), 'one\n');
});

test('what a hanging process does is described, thread by thread', async () => {
  const child = spawn('bash', ['-c', 'sleep 60 & wait'], { detached: true, stdio: 'ignore' });
  try {
    // Until bash has started its child there is nothing to tell.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const text = execFileSync(join(guest, 'describe'), [String(child.pid)], { encoding: 'utf8' });
    assert.match(text, new RegExp(`^process ${child.pid}: bash -c sleep 60 & wait`, 'm'));
    assert.match(text, /^process \d+: sleep 60/m);
    assert.match(text, /^ {2}\d+ sleep S \(sleeping\); in .*; call /m);
    assert.doesNotMatch(text, new RegExp(`^process ${process.pid}:`, 'm'));
  } finally {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
  }
});
