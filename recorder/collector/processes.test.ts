// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FD_BYTES, PROCESS_FDS_OFFSET, processFile } from '../../abi/wire/record.js';
import { FakeSession } from './fake-shim.js';
import { ProcessWatch, processAlive, readProcessFile, threadAlive } from './processes.js';
import {
  collectorAlive,
  makeSessionDirectory,
  processStartTime,
  removeSessionDirectory,
} from './session-directory.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-processes-'));
after(() => rmSync(scratch, { recursive: true }));
const LIKE_VFIO = new RegExp(`^${scratch}/vfio`);

describe('ProcessWatch', () => {
  it('finds descriptors that the shim has not seen, in the driver and in what it started', async () => {
    const session = new FakeSession();
    const watch = new ProcessWatch(session.directory, LIKE_VFIO);
    // A shell that the shim is not in, with a child that holds a descriptor.
    const command = `exec 7>${scratch}/vfio; sleep 30 & exec 7>&-; wait`;
    const child = spawn('/bin/sh', ['-c', command], { stdio: 'ignore' });
    await once(child, 'spawn');
    watch.mainPid = child.pid ?? 0;
    for (let tries = 0; tries < 200 && watch.unseen.size === 0; tries++) {
      watch.scan();
      await new Promise((done) => setTimeout(done, 10));
    }
    child.kill('SIGKILL');
    for (const detail of watch.unseen.values()) {
      const pid = Number(/^pid (\d+) /.exec(detail)?.[1]);
      if (pid !== child.pid) process.kill(pid, 'SIGKILL');
    }
    assert.match([...watch.unseen.values()].join('\n'), /^pid \d+ \((sleep|sh)\) fd 7 .*vfio/m);
    session.remove();
  });

  it('does not count what the table has', () => {
    const session = new FakeSession();
    const watch = new ProcessWatch(session.directory, LIKE_VFIO);
    session.attach(process.pid, 1, 5n);
    const fd = openSync(join(scratch, 'vfio'), 'w');
    const table = openSync(join(session.directory, processFile(process.pid)), 'r+');
    writeSync(
      table,
      new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0]),
      0,
      FD_BYTES,
      PROCESS_FDS_OFFSET + fd * FD_BYTES,
    );
    closeSync(table);
    watch.refresh();
    watch.scan();
    watch.scan();
    closeSync(fd);
    assert.equal(watch.unseen.size, 0);
    session.remove();
  });

  it('knows the last image of a process, and how it ended', () => {
    const watch = new ProcessWatch(scratch);
    watch.attached(1, 4_000_001);
    watch.attached(2, 4_000_001);
    watch.attached(3, 4_000_002);
    watch.attached(4, 4_000_003);
    watch.attached(5, process.pid);
    watch.exited(2, 3);
    watch.killed(3, 11);
    assert.deepEqual(watch.endingsWith(undefined), [
      { process: 2, exitStatus: 3, signal: 0 },
      { process: 3, exitStatus: -1, signal: 11 },
      { process: 4, exitStatus: -1, signal: 0 },
    ]);
  });

  it('tells an image that an exec replaced', () => {
    const session = new FakeSession();
    const watch = new ProcessWatch(session.directory);
    session.attach(process.pid, 2, 5n);
    assert.equal(readProcessFile(session.directory, process.pid)?.process, 2);
    assert.equal(watch.ownerAlive(process.pid, process.pid, 2), true);
    assert.equal(watch.ownerAlive(process.pid, process.pid, 1), false);
    assert.equal(watch.ownerAlive(process.pid, 4_000_000, 2), false);
    session.remove();
  });

  it('sees that a process is there or gone', () => {
    assert.ok(processAlive(process.pid));
    assert.ok(threadAlive(process.pid, process.pid));
    assert.equal(processAlive(4_000_000), false);
  });
});

describe('the session directory', () => {
  it('is this user’s alone, and on tmpfs where there is one', () => {
    const place = makeSessionDirectory([join(scratch, 'missing'), scratch]);
    assert.match(place.path, new RegExp(`^${scratch}/vfiotape-`));
    removeSessionDirectory(place.path);
    assert.throws(
      () => makeSessionDirectory([join(scratch, 'missing')]),
      /^UserError: nowhere to keep the session: /,
    );
  });
  it('belongs to a recorder that runs, or to a dead one', () => {
    const collectorStarted = processStartTime(process.pid) ?? '';
    const note = { collectorPid: process.pid, collectorStarted } as Parameters<typeof collectorAlive>[0];
    assert.ok(collectorAlive(note));
    assert.equal(collectorAlive({ ...note, collectorStarted: '1' }), false);
  });
});
