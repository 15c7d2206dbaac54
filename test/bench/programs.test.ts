// SPDX-License-Identifier: Apache-2.0
/** The bench is run by hand: that its programs build is seen at every change. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { scratchDirectory } from '../end-to-end/harness.js';
import { buildDmaCost } from './dma.js';
import { buildRecordProgram } from './record.js';
import { buildSimLatency } from './sim.js';

const scratch = scratchDirectory();

test('the programs that the bench compiles build', () => {
  assert.ok(existsSync(buildRecordProgram(scratch, 'hook-cost')));
  assert.ok(existsSync(buildRecordProgram(scratch, 'ring-producer')));
  assert.ok(existsSync(buildDmaCost(scratch)));
  assert.ok(existsSync(buildSimLatency(scratch)));
});
