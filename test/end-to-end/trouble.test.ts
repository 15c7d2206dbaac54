// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openTrace } from '../../traces/reader.js';
import { counted, makeCounts, readSequences } from './crash-driver.js';
import {
  buildDriver,
  command,
  processesOf,
  recordStandin,
  run,
  scratchDirectory,
  sessionsOf,
  vfiotape,
} from './harness.js';

// Trouble of the recorder's own: it dies, the disk is full, there is no tmpfs. The driver runs on and ends as it would have;
// what was lost is counted.

const scratch = scratchDirectory();
const driver = buildDriver('crash');

/** Mounts of a test's own need a mount namespace, and that root, or user namespaces. */
const namespaces = [[], ['-r']].find(
  (flags) => spawnSync('unshare', [...flags, '-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0,
);
const skipMounts = namespaces === undefined ? 'no mount namespaces here' : false;

/** A shell in a mount namespace: `set-up` first, then the words. */
function inNamespace(setUp: string, words: readonly string[]): ReturnType<typeof run> {
  const script = `set -e; ${setUp}; set +e; exec "$@"`;
  return run('unshare', [...(namespaces ?? []), '-m', 'sh', '-c', script, 'sh', ...words], { cwd: scratch });
}

test('a recorder that is killed leaves the driver running, and recover finds all that was complete', async () => {
  const place = join(scratch, 'place');
  mkdirSync(place);
  const trace = join(place, 'killed.vtape');
  const counts = makeCounts(join(scratch, 'killed.counts'));
  const recorder = spawn(process.execPath, [recordStandin, trace, driver, 'until', counts], {
    stdio: 'ignore',
  });
  const gone = new Promise((resolve) => recorder.once('exit', resolve));
  let pids: readonly number[] = [];
  try {
    while ((counted(counts)[0] ?? 0) < 50_000) await sleep(5);
    pids = processesOf(driver, counts);
    assert.equal(pids.length, 1);
    recorder.kill('SIGKILL');
    await gone;
    const atDeath = counted(counts);
    // The rings are full within a second or so; from then on the shim drops and counts, and the driver must not stand
    // still: at least three times in a row it gets on, however busy the machine.
    await sleep(2500);
    for (let before = atDeath, times = 0; times < 3; times++) {
      for (let tries = 0; [0, 1].some((slot) => counted(counts)[slot] === before[slot]); tries++) {
        assert.ok(tries < 200, 'the driver stands still since the recorder died');
        await sleep(100);
      }
      before = counted(counts);
    }
    endDriver(counts);
    while (processesOf(driver, counts).length > 0) await sleep(10);
    const session = sessionsOf(trace);
    assert.equal(session.length, 1);
    renameSync(place, `${place}.away`);
    const nowhere = vfiotape('recover', session[0] as string);
    assert.equal(nowhere.status, 2);
    assert.match(nowhere.stderr, /^vfiotape: [^\n]*there is no directory [^\n]*\n$/);
    renameSync(`${place}.away`, place);
    const { status, stdout, stderr } = vfiotape('recover', session[0] as string);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /killed\.vtape: [\d,]+ events/);
    const { recorded, lost } = readSequences(trace);
    const completed = counted(counts);
    for (const slot of [0, 1]) {
      const have = recorded[slot] ?? 0;
      assert.ok(
        have >= (atDeath[slot] ?? 0),
        `slot ${slot}: ${atDeath[slot]} were complete when the recorder died, ${have} are recorded`,
      );
    }
    const all = (completed[0] ?? 0) + (completed[1] ?? 0);
    const have = (recorded[0] ?? 0) + (recorded[1] ?? 0);
    assert.ok(have + lost >= all, `${all} completed, ${have} recorded, ${lost} counted as lost`);
    assert.ok(!existsSync(session[0] as string), 'a recovered session goes away');
  } finally {
    for (const pid of processesOf(driver, counts)) process.kill(pid, 'SIGKILL');
  }
});

/** Slot 4 tells the driver to end; the file is mapped in it. */
function endDriver(counts: string): void {
  const file = openSync(counts, 'r+');
  writeSync(file, Buffer.from([1]), 0, 1, 4 * 64);
  closeSync(file);
}

test('a full disk leaves the driver running; what could not be written is counted and can be recovered', {
  skip: skipMounts,
}, () => {
  const disk = join(scratch, 'disk');
  mkdirSync(disk);
  const counts = makeCounts(join(scratch, 'full.counts'));
  const outcome = inNamespace(`mount -t tmpfs -o size=32k tmpfs ${disk}`, [
    process.execPath,
    recordStandin,
    join(disk, 'full.vtape'),
    driver,
    'return',
    counts,
  ]);
  assert.equal(outcome.status, 9, outcome.stderr);
  const completed = counted(counts);
  assert.ok((completed[0] ?? 0) >= 30_000 && (completed[1] ?? 0) >= 30_000);
  assert.match(outcome.stderr, /^vfiotape: lost: [\d,]+ events that could not be written \(ENOSPC\)$/m);
});

test('a /dev/shm that is too small or no tmpfs is replaced by another place', { skip: skipMounts }, () => {
  for (const setUp of [
    'mount -t tmpfs -o size=64k tmpfs /dev/shm',
    'umount /dev/shm 2>/dev/null || mount --bind /usr /dev/shm',
  ]) {
    const counts = makeCounts(join(scratch, 'place.counts'));
    const trace = join(scratch, 'place.vtape');
    const outcome = inNamespace(setUp, [process.execPath, recordStandin, trace, driver, 'return', counts]);
    assert.equal(outcome.status, 9, outcome.stderr);
    const { recorded, lost } = readSequences(trace);
    assert.equal(lost, 0);
    for (const slot of [0, 1]) assert.ok((recorded[slot] ?? 0) >= (counted(counts)[slot] ?? 0));
  }
});

test('where there is no place at all for the session, the driver is not started', {
  skip: skipMounts,
}, () => {
  const witness = join(scratch, 'witness');
  const small = (path: string): string => `mount -t tmpfs -o size=64k tmpfs ${path}`;
  const outcome = inNamespace(
    `mkdir -p ${scratch}/tmp; ${small('/dev/shm')}; ${small('/run')}; ${small(`${scratch}/tmp`)}; export TMPDIR=${scratch}/tmp; unset XDG_RUNTIME_DIR`,
    [process.execPath, command, 'record', '-o', join(scratch, 'nowhere.vtape'), '--', 'touch', witness],
  );
  assert.equal(outcome.status, 2, outcome.stderr);
  assert.match(outcome.stderr, /^vfiotape: [^\n]*room[^\n]*\n$/);
  assert.ok(!existsSync(witness));
});

test('a flight recorder keeps the last events of a long run, and says how many it gave up', () => {
  const counts = makeCounts(join(scratch, 'flight.counts'));
  const trace = join(scratch, 'flight.vtape');
  const outcome = run(process.execPath, [
    recordStandin,
    trace,
    '--max-size=1048576',
    driver,
    'return',
    counts,
  ]);
  assert.equal(outcome.status, 9, outcome.stderr);
  const opened = openTrace(trace);
  assert.deepEqual(opened.damages, []);
  assert.ok((opened.size ?? 0) <= 1.25 * 1048576, `${opened.size} bytes`);
  opened.close();
});
