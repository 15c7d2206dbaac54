// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../../abi/package-root.js';
import { UserError } from '../../../abi/user-error.js';
import { openTrace } from '../../../traces/reader.js';
import type { Statistics } from '../model.js';
import { statistics } from '../statistics.js';
import { parseBudget } from './budget.js';
import { judgeBudget } from './judge.js';

function of(name: string): Statistics {
  const trace = openTrace(join(packageRoot(), 'traces/corpus', `${name}.vtape`));
  try {
    return statistics(trace);
  } finally {
    trace.close();
  }
}

const IO = of('qemu/io');

function judged(text: string, baseline?: Statistics): readonly string[] {
  const { status, findings } = judgeBudget(parseBudget(text, 'b.yaml'), IO, baseline);
  return [status, ...findings.map(({ message }) => message)];
}

test('limits that are kept', () => {
  assert.deepEqual(
    judged(`limits:
  - operation: VFIO_IOMMU_MAP_DMA
    at-most: { count: 17, p99: 1ms, total: 4ms }
    at-least: { count: 17 }
  - queue: "*"
    at-most: { doorbell_to_completion.max: 3ms }
  - vector: MSIX[0]
    at-most: { largest: 5, unread_wakes: 0 }
  - operation: nothing of this name
    at-most: { count: 0 }
  - recording: all
    at-most: { lost_events: 0, share: 1% }
`),
    ['pass'],
  );
});

test('limits of every kind that are exceeded', () => {
  assert.deepEqual(
    judged(`limits:
  - operation: VFIO_IOMMU_MAP_DMA
    phase: steady
    at-most: { count: 8 }
  - operation: BAR0 store
    register: SQ1TDBL
    object: device0
    at-most: { count: 10 }
  - queue: queue 1
    at-most: { doorbell_to_wake.p99: 1ms }
  - vector: "*"
    at-most: { signals_per_read: 1 }
  - mapping: VFIO_IOMMU_UNMAP_DMA
    at-most: { per_mib: 1ms }
  - opening: device0
    at-most: { to_ready: 1ms }
  - recording: all
    at-least: { events: 1k }
  - operation: missing
    at-least: { count: 1 }
`),
    [
      'fail',
      'VFIO_IOMMU_MAP_DMA, phase steady: count is 9, at most 8 is allowed (line 4 of the budget)',
      'BAR0 store, object device0, register SQ1TDBL: count is 11, at most 10 is allowed (line 8 of the budget)',
      'queue 1: doorbell_to_wake.p99 is 1.40 ms, at most 1.00 ms is allowed (line 10 of the budget)',
      'MSIX[0]: signals_per_read is 1.56, at most 1 is allowed (line 12 of the budget)',
      'VFIO_IOMMU_UNMAP_DMA: per_mib is 1.66 ms, at most 1.00 ms is allowed (line 14 of the budget)',
      'device0: to_ready is 79.5 ms, at most 1.00 ms is allowed (line 16 of the budget)',
      'recording: events is 138, at least 1,000 is allowed (line 18 of the budget)',
      'missing: count is 0, at least 1 is allowed (line 20 of the budget)',
    ],
  );
});

test('a baseline', () => {
  const text = (factor: string): string => `baseline: other.vtape
limits:
  - operation: VFIO_IOMMU_MAP_DMA
    at-most: { p50: ${factor} }
`;
  assert.deepEqual(judged(text('1x'), IO), ['pass']);
  const [status, message] = judged(text('0.5x'), IO);
  assert.equal(status, 'fail');
  assert.match(message ?? '', /p50 is 230 µs, at most 115 µs \(0\.5x of the baseline\) is allowed/);
  assert.deepEqual(judged(text('1x').replace('VFIO_IOMMU_MAP_DMA', 'mprotect'), of('edu/group')), [
    'unknown',
  ]);
});

const MISTAKES: readonly (readonly [text: string, message: RegExp])[] = [
  ['', /^b\.yaml:1: a budget must have "limits"/],
  ['limits: [', /^b\.yaml:1: /],
  ['limits: 3', /^b\.yaml:1: "limits" must be a list/],
  ['limits:\n  - 3', /^b\.yaml:2: a limit must say what it is of/],
  ['limit: []', /^b\.yaml:1: unknown key 'limit' in a budget; known are limits, baseline/],
  ['limits:\n  - at-most: { count: 1 }', /^b\.yaml:2: a limit is of one of/],
  ['limits:\n  - operation: a\n    queue: b\n    at-most: { count: 1 }', /^b\.yaml:2: a limit is of one of/],
  ['limits:\n  - operation: a', /^b\.yaml:2: a limit needs "at-most" or "at-least"/],
  [
    'limits:\n  - operation: a\n    atmost: { count: 1 }',
    /^b\.yaml:3: unknown key 'atmost' in a limit of operation/,
  ],
  ['limits:\n  - operation: a\n    at-most: 3', /^b\.yaml:3: "at-most" must name statistics/],
  [
    'limits:\n  - operation: a\n    at-most:\n      p95: 1ms',
    /^b\.yaml:4: no statistic 'p95' of operation; there are count, /,
  ],
  [
    'limits:\n  - operation: a\n    at-most:\n      p99: 1 minute',
    /^b\.yaml:4: '1 minute' is no time; write it like 500us/,
  ],
  ['limits:\n  - operation: a\n    at-most:\n      count: 3ms', /^b\.yaml:4: '3ms' is no number/],
  ['limits:\n  - operation: a\n    at-most:\n      count: -3', /^b\.yaml:4: '-3' is no number/],
  ['limits:\n  - operation: a\n    at-most:\n      count:', /^b\.yaml:4: 'count' needs a limit/],
  ['limits:\n  - operation: a\n    at-most:\n      constructor: 1', /^b\.yaml:4: no statistic 'constructor'/],
  [
    'limits:\n  - operation: a\n    phase: idle\n    at-most: { count: 1 }',
    /^b\.yaml:3: no phase 'idle'; there are open, /,
  ],
  [
    'limits:\n  - operation: a\n    phase: steady\n    thread: b\n    at-most: { count: 1 }',
    /^b\.yaml:2: give one of phase, register/,
  ],
  [
    'limits:\n  - operation: a\n    phase: steady\n    object: device0\n    at-most: { count: 1 }',
    /^b\.yaml:2: phase can't be narrowed/,
  ],
  [
    'limits:\n  - queue: a\n    phase: steady\n    at-most: { doorbells: 1 }',
    /^b\.yaml:3: unknown key 'phase' in a limit of queue/,
  ],
  ['limits:\n  - operation: a\n    at-most: { p99: 1.2x }', /^b\.yaml:3: '1.2x' needs a "baseline" trace/],
  ['limits:\n  - operation: a\n  operation: b', /^b\.yaml:\d+: /],
  ['limits: []\nlimits: []', /^b\.yaml:2: /],
];

for (const [text, message] of MISTAKES) {
  test(`a mistake is one line with its place: ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseBudget(text, 'b.yaml'),
      (error: unknown) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  });
}

test('the budget of docs/budget.md is one', () => {
  const page = readFileSync(join(packageRoot(), 'docs/budget.md'), 'utf8');
  const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
  assert.equal(parseBudget(yaml, 'docs/budget.md').limits.length, 7);
});
