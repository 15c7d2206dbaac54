// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROCESS_BYTES, PROCESS_MAGIC, ProcessField, processFile } from '../../abi/wire/record.js';
import { ProcessWatch } from './processes.js';

const possible = spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0;

it('knows a driver of another pid namespace by the pid it has here', { skip: !possible }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-namespaces-'));
  const outer = spawn('unshare', ['--pid', '--fork', '--kill-child', 'sleep', '60']);
  try {
    let inner = 0;
    while (inner === 0) {
      await sleep(10);
      const children = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'latin1').trim();
      if (children !== '' && readFileSync(`/proc/${children}/comm`, 'latin1') === 'sleep\n')
        inner = Number(children);
    }
    const file = Buffer.alloc(PROCESS_BYTES);
    file.writeBigUInt64LE(PROCESS_MAGIC, ProcessField.magic);
    file.writeUInt32LE(1, ProcessField.pid);
    file.writeUInt32LE(1, ProcessField.process);
    const namespace = /\d+/.exec(readlinkSync(`/proc/${inner}/ns/pid`))?.[0] ?? '';
    file.writeBigUInt64LE(BigInt(namespace), ProcessField.pidNamespace);
    writeSync(openSync(join(directory, processFile(1)), 'w'), file);

    const watch = new ProcessWatch(directory);
    watch.refresh();
    assert.equal(watch.hostPid(1), inner);
    assert.deepEqual(watch.running(), [inner]);
    assert.equal(watch.ownerAlive(1, 1, 1), true);
    assert.equal(watch.ownerAlive(1, 2, 1), false, 'a thread that only exists here');
    process.kill(inner, 'SIGKILL');
    while (readdirSync('/proc').includes(String(inner))) await sleep(10);
    assert.equal(watch.ownerAlive(1, 1, 1), false, 'the init of this namespace is another one');
    assert.deepEqual(watch.running(), []);
  } finally {
    outer.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  }
});
