// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Interval, Intervals } from './intervals.js';

interface Named extends Interval {
  readonly name: number;
}

const part = (whole: Named, start: bigint, length: bigint): Named => ({ ...whole, start, length });

test('intervals answer as a table of all addresses would', () => {
  const step = fc.record({ add: fc.boolean(), start: fc.nat(60), length: fc.nat(20), name: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const intervals = new Intervals<Named>();
      const table = new Array<number | undefined>(100).fill(undefined);
      for (const { add, start, length, name } of steps) {
        if (add) intervals.add({ start: BigInt(start), length: BigInt(length), name }, part);
        else intervals.remove(BigInt(start), BigInt(length), part);
        table.fill(add ? name : undefined, start, start + length);
      }
      for (let address = 0; address < 100; address++) {
        assert.equal(intervals.at(BigInt(address))?.name, table[address]);
        const there = intervals.within(BigInt(address), 7n).map(({ name }) => name);
        const expected = table.slice(address, address + 7).filter((name) => name !== undefined);
        assert.deepEqual(new Set(there), new Set(expected));
      }
    }),
    { numRuns: 300 },
  );
});

test('many intervals, in any order, are kept in order', () => {
  const intervals = new Intervals<Named>();
  const starts = Array.from({ length: 5000 }, (_, i) => (i * 2741) % 5000);
  for (const start of starts) intervals.add({ start: BigInt(start * 10), length: 7n, name: start }, part);
  assert.equal(intervals.size, 5000);
  assert.deepEqual(
    [...intervals].map(({ name }) => name),
    Array.from({ length: 5000 }, (_, i) => i),
  );
  assert.equal(intervals.remove(995n, 30_000n, part).length, 3001);
  assert.equal(intervals.size, 2001);
  assert.equal(intervals.at(994n)?.length, 5n);
  assert.equal(intervals.at(995n), undefined);
  assert.equal(intervals.at(30_996n)?.name, 3099);
});

test('the ends of the 64-bit space', () => {
  const intervals = new Intervals<Named>();
  intervals.add({ start: (1n << 64n) - 4096n, length: 4096n, name: 1 }, part);
  assert.equal(intervals.at((1n << 64n) - 1n)?.name, 1);
  assert.equal(intervals.at(0n), undefined);
  assert.equal(intervals.remove(0n, 1n << 64n, part).length, 1);
  assert.equal(intervals.size, 0);
});
