// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventFlag, EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { buildDriver, processesOf, recordStandin, run, scratchDirectory } from './harness.js';

// However a driver ends, in the middle of two threads that record: what its calls completed is in the trace, without a
// gap. drivers/crash.c writes a sequence from each thread and counts, in memory that outlives it, what has completed.

const scratch = scratchDirectory();
const driver = buildDriver('crash');
const CHILD_WRITES = 2000;

interface Sequences {
  /** Per slot of crash.c, how far the sequence 0, 1, 2, … goes in the trace. */
  readonly recorded: readonly number[];
  readonly lost: number;
  readonly damages: number;
}

/** Follows each slot's sequence through the trace and fails at a gap, a repetition or a wrong order. */
function readSequences(path: string): Sequences {
  const trace = openTrace(path);
  const recorded = [0, 0, 0, 0];
  for (const event of trace.events({ kinds: [EventKind.WRITE] })) {
    // The call that its thread was in when all ended: it may or may not have reached the device.
    if (event.kind !== EventKind.WRITE || (event.flags & EventFlag.INTENT) !== 0 || event.result !== 8n)
      continue;
    const slot = Number(event.offset) / 8;
    assert.equal(
      Number(event.value),
      recorded[slot],
      `slot ${slot}: event ${event.number} is not the next one`,
    );
    recorded[slot] = (recorded[slot] ?? 0) + 1;
  }
  const lost = (trace.summary?.losses ?? []).reduce((sum, loss) => sum + loss.events, 0);
  const damages = trace.damages.length;
  trace.close();
  return { recorded, lost, damages };
}

function counted(path: string): readonly number[] {
  const counts = readFileSync(path);
  return [0, 1, 2, 3].map((slot) => Number(counts.readBigUInt64LE(slot * 64)));
}

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
    const counts = join(scratch, `${ending}.counts`);
    writeFileSync(counts, new Uint8Array(4096));
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
  const counts = join(scratch, 'outside.counts');
  writeFileSync(counts, new Uint8Array(4096));
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
