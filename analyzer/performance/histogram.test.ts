// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram, QUANTILE_ERROR } from './histogram.js';

const values = fc.array(fc.oneof(fc.nat({ max: 1000 }), fc.nat(), fc.maxSafeInteger().map(Math.abs)), {
  minLength: 1,
  maxLength: 300,
});
const PARTS = [0, 0.5, 0.9, 0.99, 0.999, 1];

function filled(list: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of list) histogram.add(value);
  return histogram;
}

test('count, smallest and largest are exact, quantiles as exact as it says', () => {
  fc.assert(
    fc.property(values, (list) => {
      const histogram = filled(list);
      const sorted = [...list].sort((a, b) => a - b);
      assert.equal(histogram.count, list.length);
      assert.equal(histogram.min, sorted[0]);
      assert.equal(histogram.max, sorted.at(-1));
      for (const part of PARTS) {
        const exact = sorted[Math.max(0, Math.ceil(part * list.length - 1e-9) - 1)] as number;
        const said = histogram.quantile(part);
        assert.ok(Math.abs(said - exact) <= exact * QUANTILE_ERROR, `${said} for ${exact} at ${part}`);
      }
    }),
  );
});

test('buckets hold every value, side by side', () => {
  fc.assert(
    fc.property(values, (list) => {
      const buckets = [...filled(list).buckets()];
      assert.equal(
        buckets.reduce((sum, { count }) => sum + count, 0),
        list.length,
      );
      for (const value of list)
        assert.ok(
          buckets.some(({ from, to }) => value >= from && value < to),
          `${value}`,
        );
      buckets.forEach(({ from, to }, n) => {
        assert.ok(from < to);
        const before = buckets[n - 1];
        if (before !== undefined) assert.ok(before.to <= from);
      });
    }),
  );
});

test('two added up are what one would have been', () => {
  fc.assert(
    fc.property(values, values, (one, other) => {
      const sum = filled(one);
      sum.addAll(filled(other));
      const whole = filled([...one, ...other]);
      assert.deepEqual([...sum.buckets()], [...whole.buckets()]);
      assert.deepEqual([sum.count, sum.min, sum.max], [whole.count, whole.min, whole.max]);
    }),
  );
});
