// SPDX-License-Identifier: Apache-2.0
// The package as whoever depends on it imports it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  check,
  diffTraces,
  EventKind,
  openTrace,
  replay,
  Story,
  statistics,
  TraceError,
  UserError,
} from 'vfiotape';
import { packageRoot } from '../../abi/package-root.js';

const corpus = join(packageRoot(), 'traces/corpus');

test('a trace is opened, walked through, checked, measured and compared', () => {
  const trace = openTrace(join(corpus, 'edu/group.vtape'));
  const loads = [...trace.events({ kinds: [EventKind.LOAD] })].filter(({ kind }) => kind === EventKind.LOAD);
  assert.ok(loads.length > 0);
  assert.ok(check(trace).verdicts.some(({ rule, status }) => rule.id === 'RST-001' && status === 'fail'));
  assert.ok(statistics(trace).trace.events > 0);
  const { counts } = diffTraces(trace, trace);
  assert.deepEqual(counts, { added: 0, removed: 0, changed: 0 });
  const steps = new Set<string>();
  new Story(trace).follow({ step: ({ type }) => void steps.add(type), access: () => [], eventfd: () => [] });
  assert.ok(steps.has('dma-map'));
  trace.close();
});

test('a session is replayed on a simulated device', async () => {
  const trace = openTrace(join(corpus, 'edu/group.vtape'));
  const { operations, compared } = await replay(trace, 'edu');
  assert.ok(operations > 0 && compared > 0);
  await assert.rejects(replay(trace, 'no-such-device'), UserError);
  trace.close();
});

test('a file that is no trace is an error of its own', () => {
  assert.throws(() => openTrace(join(corpus, 'README.md')), TraceError);
});
