// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { counted, makeCounts, readSequences } from './crash-driver.js';
import { buildDriver, processesOf, recordStandin, run, scratchDirectory } from './harness.js';

// However a driver ends, in the middle of two threads that record: what its calls completed is in the trace, without a
// gap. drivers/crash.c writes a sequence from each thread and counts, in memory that outlives it, what has completed.

const scratch = scratchDirectory();
const driver = buildDriver('crash');
const CHILD_WRITES = 2000;

function checkNothingLost(trace: string, counts: string): void {
  const { recorded, damages } = readSequences(trace);
  const completed = counted(counts);
  for (const [slot, count] of completed.entries()) {
    const have = recorded[slot] ?? 0;
    // One more may have completed in the kernel without the driver having counted it.
    assert.ok(have >= count, `slot ${slot}: ${count} completed, ${have} recorded: ${count - have} lost`);
    assert.ok(have <= count + 1, `slot ${slot}: ${count} completed, ${have} recorded`);
  }
  assert.equal(damages, 0);
}

const ENDINGS: Readonly<Record<string, number>> = {
  SIGKILL: 128 + 9,
  SIGSEGV: 128 + 11,
  SIGTERM: 128 + 15,
  abort: 128 + 6,
  _exit: 7,
  exit: 8,
  return: 9,
  execve: 5,
  fork: 0,
  clone: 0,
  'bare-clone': 0,
};

for (const [ending, status] of Object.entries(ENDINGS)) {
  test(`${ending} in the middle of two recording threads loses no completed event`, () => {
    const trace = join(scratch, `${ending}.vtape`);
    const counts = makeCounts(join(scratch, `${ending}.counts`));
    const outcome = run(process.execPath, [recordStandin, trace, driver, ending, counts]);
    assert.equal(outcome.status, status, outcome.stderr);
    const completed = counted(counts);
    assert.ok((completed[0] ?? 0) >= 30_000 && (completed[1] ?? 0) >= 30_000);
    if (/fork|clone/.test(ending)) assert.equal(completed[2], CHILD_WRITES);
    if (ending === 'execve') assert.equal(completed[3], CHILD_WRITES);
    checkNothingLost(trace, counts);
  });
}

test('a driver that is killed from outside loses nothing either, and the recorder tells its signal', async () => {
  const trace = join(scratch, 'outside.vtape');
  const counts = makeCounts(join(scratch, 'outside.counts'));
  const recorder = spawn(process.execPath, [recordStandin, trace, driver, 'wait', counts], {
    stdio: 'ignore',
  });
  const ended = new Promise<number | null>((resolve) => recorder.once('exit', resolve));
  try {
    while ((counted(counts)[0] ?? 0) < 100_000) await sleep(5);
  } finally {
    for (const pid of processesOf(driver, counts)) process.kill(pid, 'SIGKILL');
  }
  assert.equal(await ended, 128 + 9);
  checkNothingLost(trace, counts);
});
