// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { updateByOperand, updateByValues, updatedValue } from './locked-update.js';

const OPERATIONS = ['add', 'sub', 'and', 'or', 'neg', 'bts', 'xchg', 'xadd', 'cmpxchg', undefined] as const;

test('bits are counted within the operand, and what takes the carry is not known', () => {
  assert.deepEqual(updateByOperand('bts', 33n, 4), { kind: 'or', operand: 2n, expected: 0n });
  assert.deepEqual(updateByOperand('btr', 3n, 1), { kind: 'and', operand: 0xf7n, expected: 0n });
  assert.equal(updateByOperand('adc', 1n, 4), undefined);
  assert.equal(updateByOperand('cmpxchg', 1n, 4), undefined);
  assert.equal(updateByOperand(undefined, 1n, 4), undefined);
});

test('by its values an instruction leaves what the recorded one left', () => {
  const word = fc.bigInt({ min: 0n, max: 0xffff_ffffn });
  fc.assert(
    fc.property(word, word, fc.constantFrom(...OPERATIONS), (before, after, operation) => {
      assert.equal(updatedValue(updateByValues(operation, before, after, 4), before, 4), after);
    }),
  );
  const swap = updateByValues('cmpxchg', 5n, 6n, 4);
  assert.equal(updatedValue(swap, 7n, 4), 7n, 'another value is left as it is');
});
