// SPDX-License-Identifier: Apache-2.0
// Drivers that do anything, through the shim: every call returns, the machine is well afterwards, and says nothing but
// where its IOMMU stopped a device. VFIOTAPE_FUZZ_CALLS and VFIOTAPE_FUZZ_SEED make other runs of it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openTrace } from '../../traces/reader.js';
import { command, run, scratchDirectory } from '../end-to-end/harness.js';
import { buildDriverFuzz, FUZZ_MACHINE, fuzzWords } from './driver-fuzz.js';

const CALLS = Number(process.env['VFIOTAPE_FUZZ_CALLS'] ?? 25_000);
const SEED = Number(process.env['VFIOTAPE_FUZZ_SEED'] ?? 20100608);
/** A hang is what this test looks for: two minutes, and a millisecond a call, which takes a tenth of that. */
const LIMIT_MS = 120_000 + CALLS;

const scratch = scratchDirectory();
const program = buildDriverFuzz(scratch);

function fuzz(context: TestContext, verb: readonly string[], calls: number, threads: number): void {
  const words = [...verb, ...FUZZ_MACHINE, '--', program, ...fuzzWords(SEED, calls, threads)];
  const { status, signal, stdout, stderr } = run(process.execPath, [command, ...words], {
    timeout: LIMIT_MS,
  });
  assert.equal(status, 0, `seed ${SEED}: ${signal ?? ''} ${stdout} ${stderr}`);
  const [, made, succeeded] = /^(\d+) calls, (\d+) succeeded, \d+ signals$/m.exec(stdout) ?? [];
  context.diagnostic(`seed ${SEED}: ${stdout.trim()}`);
  assert.ok(Number(made) >= calls - threads, stdout);
  assert.ok(Number(succeeded) > calls / 20, 'most of it must not be in vain');
  for (const line of stderr.split('\n').filter((one) => one !== ''))
    assert.match(line, /^vfiotape: (IOMMU fault: |\d+ IOMMU faults in all$|.*\.vtape: [\d,]+ events)/);
}

test('a driver that does anything', { timeout: LIMIT_MS + 10_000 }, (context) => {
  fuzz(context, ['run'], CALLS, 1);
});

test('three threads that do anything to the same devices', { timeout: LIMIT_MS + 10_000 }, (context) => {
  fuzz(context, ['run'], Math.ceil(CALLS / 2), 3);
});

test('a driver that does anything, recorded', { timeout: LIMIT_MS + 10_000 }, (context) => {
  const path = join(scratch, 'fuzz.vtape');
  fuzz(context, ['record', '-o', path], Math.ceil(CALLS / 2), 1);
  const trace = openTrace(path);
  assert.deepEqual(trace.damages, []);
  assert.ok((trace.eventCount ?? 0) > CALLS / 4);
  trace.close();
});
