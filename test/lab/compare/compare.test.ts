// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../../abi/package-root.js';
import { openTrace } from '../../../traces/reader.js';
import type { Call } from './calls.js';
import { compareCalls, describeDifference } from './compare.js';
import { recordedCalls } from './recorded-calls.js';
import { parseStraceLog } from './strace-log.js';

/** One run of examples/edu in the lab, as strace and as the recorder saw it. */
const fixtures = join(packageRoot(), 'test/lab/compare/fixtures');
const seen = parseStraceLog(readFileSync(join(fixtures, 'edu.strace'), 'utf8'));

function recorded(): readonly Call[] {
  const trace = openTrace(join(fixtures, 'edu.vtape'));
  try {
    return recordedCalls(trace);
  } finally {
    trace.close();
  }
}

test('a stored run: what strace saw is what the trace has', () => {
  const { total, matched, differences } = compareCalls(seen.calls, recorded());
  assert.deepEqual(differences.map(describeDifference), []);
  assert.deepEqual([total, matched], [28, 28]);
  assert.deepEqual(seen.unknown, []);
  assert.deepEqual(seen.unpublished, []);
});

test('a call that the trace lacks costs one difference', () => {
  const trace = recorded();
  const { matched, differences } = compareCalls(seen.calls, [...trace.slice(0, 10), ...trace.slice(11)]);
  assert.equal(matched, 27);
  assert.equal(differences.length, 1);
  assert.equal(differences[0]?.trace, undefined);
});

test('a call that only the trace has costs one difference', () => {
  const trace = recorded();
  const { matched, differences } = compareCalls([...seen.calls.slice(0, 3), ...seen.calls.slice(4)], trace);
  assert.equal(matched, 27);
  assert.equal(differences.length, 1);
  assert.equal(differences[0]?.strace, undefined);
});

test('a descriptor made past libc is explained by the trace that says it did not see it made, and only so', () => {
  const trace = recorded();
  const past: Call = { ...(seen.calls[0] as Call), name: 'eventfd', result: 40n, pastLibc: true };
  const strace = [...seen.calls.slice(0, 5), past, ...seen.calls.slice(5)];
  const explained = compareCalls(strace, trace, [40]);
  assert.deepEqual([explained.total, explained.matched, explained.unseen], [29, 28, 1]);
  assert.deepEqual(explained.differences, []);
  assert.equal(compareCalls(strace, trace, [41]).differences.length, 1);
  const { pastLibc: _, ...through } = past;
  assert.equal(
    compareCalls([...seen.calls.slice(0, 5), through], trace.slice(0, 5), [40]).differences.length,
    1,
  );
});

test('another result, errno, request, kind, offset or order of a thread is a difference', () => {
  const trace = recorded();
  const change = (index: number, what: Partial<Call>): readonly Call[] =>
    trace.map((call, i) => (i === index ? { ...call, ...what } : call));
  const changes: readonly Partial<Call>[] = [
    { result: -1n },
    { error: 'EINTR' },
    { request: 0x3b70n },
    { kind: 'cdev' },
    { offset: 1n },
  ];
  for (const what of changes) {
    assert.equal(compareCalls(seen.calls, change(5, what)).differences.length, 1, Object.keys(what).join());
  }
  const [first, second, ...rest] = trace;
  assert.ok(first !== undefined && second !== undefined);
  assert.notEqual(compareCalls(seen.calls, [second, first, ...rest]).differences.length, 0);
});

test('threads are compared each by itself: how they interleave does not matter', () => {
  const call = (thread: number, request: bigint): Call => ({
    ...{
      thread,
      request,
      name: 'ioctl',
      kind: 'device',
      fd: 5,
      offset: 0n,
      result: 0n,
      error: '',
      where: '',
    },
  });
  const left = [call(1, 1n), call(2, 1n), call(1, 2n), call(2, 2n)];
  const right = [call(2, 1n), call(2, 2n), call(1, 1n), call(1, 2n)];
  assert.equal(compareCalls(left, right).matched, 4);
});
