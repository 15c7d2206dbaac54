// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MergeHeap, Watermark } from './merge.js';
import type { RingReader } from './ring.js';

describe('MergeHeap', () => {
  it('yields the keys of sorted lists in order', () => {
    const lists = fc.array(fc.array(fc.nat(1000), { minLength: 1, maxLength: 30 }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(lists, (unsorted) => {
        const sorted = unsorted.map((list) => [...list].sort((a, b) => a - b));
        const heap = new MergeHeap();
        const rest = sorted.map((list) => list.slice(1));
        for (const [index, list] of sorted.entries()) {
          heap.push({ index, key: list[0] } as unknown as RingReader);
        }
        const seen: number[] = [];
        for (let top = heap.top; top !== undefined; top = heap.top) {
          assert.ok(top.key <= heap.secondKey);
          seen.push(top.key);
          const next = rest[top.index]?.shift();
          if (next === undefined) heap.pop();
          else {
            top.key = next;
            heap.sink();
          }
        }
        assert.deepEqual(
          seen,
          sorted.flat().sort((a, b) => a - b),
        );
      }),
    );
  });
});

describe('Watermark', () => {
  it('passes what was seen complete long enough ago', () => {
    const watermark = new Watermark(20);
    assert.equal(watermark.look(1000, 500), -1);
    assert.equal(watermark.look(1010, 600), -1);
    assert.equal(watermark.look(1020, 700), 500);
    assert.equal(watermark.look(1031, undefined), 600);
    assert.equal(watermark.look(1100, undefined), 700);
    assert.equal(watermark.look(1200, undefined), 700);
  });
});
