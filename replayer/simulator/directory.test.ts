// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeDirectory } from './directory.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-directory-'));
after(() => rmSync(scratch, { recursive: true }));

test('a machine that was killed is cleared away by the next one, and no other', () => {
  const own = makeDirectory([scratch]);
  assert.equal(statSync(own).mode & 0o777, 0o700);
  const owner = readFileSync(join(own, 'owner'), 'latin1');
  const ended = String(spawnSync('/bin/true').pid);
  const leave = (name: string, words: string | undefined): string => {
    const directory = join(scratch, name);
    mkdirSync(join(directory, 'root'), { recursive: true });
    if (words !== undefined) writeFileSync(join(directory, 'owner'), words);
    return directory;
  };
  const [namespace = '', , started = ''] = owner.split(' ');
  const dead = leave('vfiotape-sim-dead', `${namespace} ${ended} ${started}`);
  const reused = leave('vfiotape-sim-reused', `${namespace} ${process.pid} 1`);
  const kept = [
    own,
    leave('vfiotape-sim-starting', undefined),
    leave('vfiotape-sim-elsewhere', `pid:[1] ${ended} ${started}`),
    leave('vfiotape-sim-odd', 'what is this'),
    leave('vfiotape-dead', `${namespace} ${ended} ${started}`),
  ];
  kept.push(makeDirectory([scratch]));
  for (const directory of kept) assert.ok(existsSync(directory), directory);
  for (const directory of [dead, reused]) assert.ok(!existsSync(directory), directory);
});

test('a place that can’t be written, or whose name is too long for a socket, is passed over', () => {
  const long = join(scratch, 'x'.repeat(90));
  mkdirSync(long);
  assert.ok(makeDirectory(['/proc/nowhere', long, scratch]).startsWith(`${scratch}/vfiotape-sim-`));
  assert.throws(() => makeDirectory(['/proc/nowhere', long]), /nowhere to keep the simulated machine/);
});
