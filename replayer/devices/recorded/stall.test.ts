// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StallWatch } from './stall.js';

function watched({ awaits = true, recordedMs = 0 }: { awaits?: boolean; recordedMs?: number } = {}) {
  const told: string[] = [];
  const clock = { now: 0 };
  const watch = new StallWatch({
    limits: () => ({ polling: 1000, silent: 5000 }),
    awaits: () => awaits,
    recordedMs: () => recordedMs,
    stuck: (got, again) => told.push(`${got}${again ? ' again' : ''}`),
    now: () => clock.now,
  });
  const poll = (times: number) => {
    for (let n = 0; n < times; n++) watch.polled(() => 'load X');
  };
  return { watch, told, clock, poll };
}

test('reads that find nothing new are a wait after their time, and many of them', () => {
  const { watch, told, clock, poll } = watched();
  poll(10_000);
  assert.deepEqual(told, []);
  watch.progress();
  clock.now = 1500;
  poll(63);
  assert.deepEqual(told, []);
  poll(1);
  assert.deepEqual(told, ['load X, after 64 reads in 1.5 s that found nothing new']);
  clock.now = 1650;
  poll(64);
  assert.equal(told[1], 'load X, after 64 reads in 0.1 s that found nothing new again');
  watch.progress();
  clock.now = 2600;
  poll(64);
  assert.equal(told.length, 2, 'what is recorded is progress');
  watch.stop();
});

test('silence is a wait where something can come of it, and longer than it was in the recording', () => {
  const { watch, told, clock } = watched({ recordedMs: 100 });
  watch.progress();
  clock.now = 5999;
  watch.look();
  assert.deepEqual(told, []);
  clock.now = 6000;
  watch.look();
  assert.deepEqual(told, ['nothing for 6.0 s']);
  watch.stop();
  const asleep = watched({ awaits: false });
  asleep.clock.now = 1e6;
  asleep.watch.look();
  assert.deepEqual(asleep.told, []);
});
