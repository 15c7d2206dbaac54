// SPDX-License-Identifier: Apache-2.0
/**
 * Record, replay on the same device while recording, and compare: a replay does to the device what the driver did. And every
 * difference that is planted in a recording is found by its replay, and none besides.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { command, root, scratchDirectory, vfiotape } from '../end-to-end/harness.js';
import { BDF, buildExample, LIMIT, missing, NAMESPACE } from '../end-to-end/simulated.js';
import { plantTwenty } from './planted.js';
import { withChanges } from './with-changes.js';

const scratch = scratchDirectory();

/** The recording of a driver on sim:nvme, and that of its replay. */
function recordTwice(name: string, driver: readonly string[]): readonly [string, string] {
  const first = join(scratch, `${name}.vtape`);
  const second = join(scratch, `${name}-again.vtape`);
  const record = (output: string, ...words: readonly string[]) =>
    vfiotape('record', '--dma', 'content', '--sim', 'nvme', '-o', output, '--', ...words);
  const driven = record(first, ...driver);
  assert.equal(driven.status, 0, driven.stderr);
  const replay = ['replay', '--on', `hardware:${BDF}`, '--allow-dma', first];
  const replayed = record(second, process.execPath, command, ...replay);
  assert.match(replayed.stdout, /: no divergence/, `${replayed.stdout}${replayed.stderr}`);
  assert.equal(replayed.status, 0);
  return [first, second];
}

describe('a recorded replay is the recording', LIMIT, () => {
  test('of examples/nvme, by MSI-X', () => {
    const [first, second] = recordTwice('example', [buildExample('nvme', scratch), '--irq', 'msix', BDF]);
    const { stdout, status } = vfiotape('diff', first, second);
    assert.match(stdout, /^the same: \d\d calls and accesses$/m);
    assert.equal(status, 0);
    const json = JSON.parse(vfiotape('diff', '--json', first, second).stdout);
    assert.deepEqual(json.counts, { added: 0, removed: 0, changed: 0 });
    assert.equal(vfiotape('replay', '--on', 'sim:nvme', '--pace', 'recorded', first).status, 0);
  });

  test('of QEMU’s driver', { skip: missing('qemu-io') }, () => {
    const commands = ['-c', 'write -P 7 0 64k', '-c', 'read -P 7 0 64k'];
    const [first, second] = recordTwice('qemu', ['qemu-io', '-f', 'raw', ...commands, NAMESPACE]);
    const { stdout, status } = vfiotape('diff', first, second);
    assert.match(stdout, /^the same: \d+ calls and accesses$/m);
    assert.equal(status, 0);
  });
});

test('of twenty planted differences twenty are found, and none else', async () => {
  const original = openTrace(readFileSync(join(root, 'traces/corpus/edu/group.vtape')));
  const { trace, events } = await plantTwenty(original, join(scratch, 'planted.vtape'));
  assert.equal(events.length, 20);
  const report = JSON.parse(
    vfiotape('replay', '--on', 'sim:edu', '--json', join(scratch, 'planted.vtape')).stdout,
  );
  const found = report.divergences.map(({ event }: { readonly event: number }) => event);
  assert.deepEqual(found, events);
  trace.close();
});

test('what two recordings disagree on is learned, and not compared', async () => {
  const original = openTrace(readFileSync(join(root, 'traces/corpus/edu/group.vtape')));
  const other = join(scratch, 'other.vtape');
  const { events } = await withChanges(original, other, (batch, row) => {
    if (batch.kind[row] !== EventKind.LOAD || batch.offset[row] !== 0x4n) return false;
    batch.value[row] = (batch.value[row] as bigint) ^ 0x11n;
    return true;
  });
  assert.ok(events.length > 0);
  const replay = (...options: readonly string[]) => vfiotape('replay', '--on', 'sim:edu', ...options, other);
  assert.equal(replay().status, 1);
  const learned = replay('--learn', join(root, 'traces/corpus/edu/group.vtape'));
  assert.match(learned.stdout, /: no divergence\n.*, \d masked/);
  assert.equal(learned.status, 0);
});
