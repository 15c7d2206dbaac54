// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressMap } from './addresses.js';

const LOW = (1n << 30n) - 1n;
const LEAST = 0x1_0000n;
const range = fc.record({
  start: fc.oneof(
    fc.bigInt({ min: LEAST, max: 1n << 36n }),
    fc.bigInt({ min: LEAST, max: (1n << 64n) - 1n }),
  ),
  length: fc.oneof(fc.bigInt({ min: 0n, max: 1n << 32n }), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })),
});

test('order, alignment and distances within a range stay; nothing stays where it was but the first GiB', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
      const map = new AddressMap();
      for (const { start, length } of ranges) map.see(start, length);
      const ends = ranges.flatMap(({ start, length }) => {
        const last = start + (length > 0n ? length - 1n : 0n);
        return last < 1n << 64n ? [start, last] : [start];
      });
      const seen = ends.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      let before: readonly [bigint, bigint] | undefined;
      for (const address of seen) {
        const moved = map.move(address);
        assert.equal(moved & LOW, address & LOW);
        assert.ok(moved >= 0n && moved < 1n << 66n);
        if (before !== undefined) {
          assert.equal(before[0] < address, before[1] < moved, 'order');
          if (before[0] === address) assert.equal(moved, before[1]);
        }
        if (address >> 30n === 0n) assert.equal(moved, address);
        else assert.ok(!map.isGone(moved) || map.move(moved) === moved, 'nothing lies where something lay');
        before = [address, moved];
      }
      for (const { start, length } of ranges)
        if (length > 0n && start + length <= 1n << 64n)
          assert.equal(map.move(start + length - 1n) - map.move(start), length - 1n, 'distance');
    }),
    { numRuns: 500 },
  );
});

test('an address that nobody had is none', () => {
  const map = new AddressMap();
  map.see(0x7fff_1234_5000n, 0x1000n);
  assert.equal(map.move(0x5555_0000_0000n), 0n);
  assert.equal(map.move(8n), 8n);
  assert.ok(map.isGone(0x7fff_1234_5000n) && !map.isGone(0x5555_0000_0000n));
});
