// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { align } from './align.js';
import { joinTurns } from './turns.js';

interface Step {
  readonly key: string;
  readonly phase: string;
  readonly thread: number;
}

const step = (thread: number, key: string): Step => ({ key, phase: 'steady', thread });
const joined = (a: readonly Step[], b: readonly Step[]) => [...joinTurns(align(a, b))];
const alone = (pairs: ReturnType<typeof joined>) =>
  pairs.filter(({ a, b }) => a === undefined || b === undefined);

/** Threads' steps in an order that the bits choose. */
function interleave(one: readonly string[], two: readonly string[], turns: readonly boolean[]): Step[] {
  const [first, second] = [[...one], [...two]];
  const steps: Step[] = [];
  for (const turn of turns) {
    const key = (turn ? first : second).shift();
    if (key !== undefined) steps.push(step(turn ? 1 : 2, key));
  }
  return [...steps, ...first.map((key) => step(1, key)), ...second.map((key) => step(2, key))];
}

test('a block of one thread that came at another time is the same', () => {
  const block = Array.from({ length: 30 }, (_, i) => `block ${i}`);
  const other = Array.from({ length: 100 }, (_, i) => `other ${i}`);
  const early = interleave(other, block, [...Array(20).fill(true), ...Array(30).fill(false)]);
  const late = interleave(other, block, [...Array(70).fill(true), ...Array(30).fill(false)]);
  assert.deepEqual(alone(joined(early, late)), []);
});

test('the same thread in another order is not', () => {
  const steps = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const moved = ['c', 'd', 'e', 'f', 'g', 'h', 'a', 'b'];
  const one = steps.map((key) => step(1, key));
  const other = moved.map((key) => step(1, key));
  assert.equal(alone(joined(one, other)).length, 4);
});

test('nothing is lost or made up, and each side keeps each thread’s order', () => {
  const keys = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 40 });
  const bits = fc.array(fc.boolean(), { maxLength: 80 });
  fc.assert(
    fc.property(keys, keys, keys, bits, bits, (one, two, three, turnsA, turnsB) => {
      const a = interleave(one, two, turnsA);
      const b = interleave(one, three, turnsB);
      const pairs = joined(a, b);
      for (const side of ['a', 'b'] as const) {
        const steps = side === 'a' ? a : b;
        const seen = pairs.flatMap((pair) => pair[side] ?? []);
        assert.equal(seen.length, steps.length);
        for (const thread of [1, 2]) {
          const of = (list: readonly Step[]) => list.filter((s) => s.thread === thread).map(({ key }) => key);
          assert.deepEqual([...of(seen)].sort(), [...of(steps)].sort());
        }
      }
      for (const pair of pairs)
        if (pair.a !== undefined && pair.b !== undefined) assert.equal(pair.a.key, pair.b.key);
    }),
  );
});

test('memory does not grow with what is missing', () => {
  const many = Array.from({ length: 50_000 }, (_, i) => step(1, `k${i}`));
  const fewer = many.filter((_, i) => i % 100 !== 0);
  assert.equal(alone(joined(many, fewer)).length, 500);
});
