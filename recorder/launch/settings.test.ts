// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ringSizes } from './settings.js';
import { parseWatch } from './watch.js';

const MIB = 1 << 20;
const NO_LIMIT = Number.POSITIVE_INFINITY;

describe('ringSizes', () => {
  it('takes 20 MiB a thread where there is room', () => {
    assert.deepEqual(ringSizes(undefined, 24e9, NO_LIMIT), {
      recordsLog2: 18,
      sideLog2: 22,
      ringBytes: 20 * MIB + 4096,
      ringLimit: 256,
    });
  });
  it('takes smaller ones in a container’s 64 MiB of /dev/shm, so that some threads have one', () => {
    const { ringBytes, ringLimit } = ringSizes(undefined, 64 * MIB, NO_LIMIT);
    assert.ok(ringLimit >= 8, `${ringLimit} rings`);
    assert.ok(ringBytes * ringLimit <= 32 * MIB);
  });
  it('keeps what was asked for', () => {
    assert.equal(ringSizes(64 * MIB, 24e9, NO_LIMIT).recordsLog2, 19);
    assert.throws(() => ringSizes(64 * MIB, 64 * MIB, NO_LIMIT), /--buffer: .* give a smaller one/);
  });
  it('stays below the size that the driver’s files may have', () => {
    assert.ok(ringSizes(undefined, 24e9, 800 * 1024).ringBytes <= 800 * 1024);
    assert.throws(() => ringSizes(undefined, 24e9, 4096), /ulimit -f/);
  });
});

describe('parseWatch', () => {
  it('reads regions and ranges', () => {
    assert.deepEqual(parseWatch('BAR0:0-0x1000'), { region: 0, first: 0n, last: 0x1000n });
    assert.deepEqual(parseWatch('bar5'), { region: 5, first: 0n, last: (1n << 64n) - 1n });
    assert.deepEqual(parseWatch('0x10-32'), { region: undefined, first: 16n, last: 32n });
  });
  it('says what is wrong with others', () => {
    for (const text of ['', 'BAR6', 'BAR0:', 'BAR0:5', 'x', 'BAR0:1-']) {
      assert.throws(() => parseWatch(text), {
        message: `--watch: '${text}' names no region; write it like BAR0 or BAR0:0-0x1000`,
      });
    }
    assert.throws(() => parseWatch('BAR0:9-1'), { message: "--watch: 'BAR0:9-1' ends before it begins" });
  });
});
