// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareAccesses, describeAccessDifferences } from './compare-accesses.js';
import { markValue, parseResources, type SeenAccess, windowOf } from './device-log.js';
import type { RecordedAccess } from './recorded-accesses.js';

const resources = `0000:00:03.0
0x00000000feb00000 0x00000000feb03fff 0x0000000000140204
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x000000000000c080 0x000000000000c09f 0x0000000000040101
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x00000000fe000000 0x00000000fe00ffff 0x0000000000046200
0000:00:0a.0
0x00000000fea00000 0x00000000feafffff 0x0000000000040200
`;

function line(
  direction: 'read' | 'write',
  address: number,
  value: number,
  size: number,
  model: string,
): string {
  return `memory_region_ops_${direction} cpu 1 mr 0x55e58b138d30 addr 0x${address.toString(16)} value 0x${value.toString(16)} size ${size} name '${model}'`;
}

function marked(run: number, ...inside: readonly string[]): readonly string[] {
  const mark = (end: boolean): string => line('write', 0xcfc, markValue(run, end), 4, 'pci-conf-data');
  return [mark(false), ...inside, mark(true)];
}

test('BARs are where the guest says, and ROMs are none', () => {
  assert.deepEqual(
    parseResources(resources).map(({ bdf, region, first }) => `${bdf} ${region} ${first.toString(16)}`),
    ['0000:00:03.0 0 feb00000', '0000:00:03.0 2 c080', '0000:00:0a.0 0 fea00000'],
  );
});

test('a run is cut out of the log between its marks; MSI-X is counted apart; other models are left out', () => {
  const log = [
    line('write', 0xcfc, 0x10000, 4, 'pci-conf-data'),
    line('read', 0xfeb0001c, 1, 4, 'nvme'),
    ...marked(0, line('read', 0xfeb00000, 7, 4, 'nvme')),
    ...marked(
      1,
      line('read', 0xfeb00000, 0x4018200f, 8, 'nvme'),
      line('write', 0xfeb02000, 0xfee00000, 4, 'msix-table'),
      line('read', 0xfed000f0, 1, 4, 'hpet'),
      line('write', 0xc084, 5, 2, 'e1000e-io'),
      'something else that QEMU says',
      line('write', 0xfea00008, 0xfffffffff, 4, 'edu-mmio'),
    ),
    line('read', 0xfeb0001c, 1, 4, 'nvme'),
  ].join('\n');
  const places = parseResources(resources);
  const window = windowOf(log, places, 1);
  assert.equal(window?.msix, 1);
  assert.deepEqual(
    window?.accesses.map(({ bdf, region, offset, width, value, write }) => [
      bdf,
      region,
      offset,
      width,
      value,
      write,
    ]),
    [
      ['0000:00:03.0', 0, 0n, 8, 0x4018200fn, false],
      ['0000:00:03.0', 2, 4n, 2, 5n, true],
      ['0000:00:0a.0', 0, 8n, 4, 0xffffffffn, true],
    ],
  );
  assert.equal(windowOf(log, places, 2), undefined);
  const cut = log.slice(0, log.lastIndexOf('pci-conf-data'));
  assert.equal(windowOf(cut, places, 1), undefined, 'a run whose end is missing');
});

const bdf = '0000:00:03.0';
let lines = 0;
function seen(offset: number, value: number, width = 4, write = true): SeenAccess {
  lines++;
  return { bdf, region: 0, offset: BigInt(offset), width, value: BigInt(value), write, line: lines };
}

function recorded(
  began: number,
  offset: number,
  value: number | bigint | undefined,
  { width = 4, write = true, thread = 1, over = began + 1, call = false } = {},
): RecordedAccess {
  const exact = value === undefined ? undefined : BigInt(value);
  return {
    thread,
    bdf,
    region: 0,
    offset: BigInt(offset),
    width,
    value: exact,
    write,
    call,
    began,
    over,
    event: began,
  };
}

function compare(left: readonly SeenAccess[], ...threads: readonly (readonly RecordedAccess[])[]) {
  return compareAccesses(left, new Map(threads.map((list, index) => [index + 1, list])));
}

test('the same accesses match, and are counted by direction', () => {
  const result = compare(
    [seen(0, 1), seen(4, 2, 4, false), seen(8, 3)],
    [recorded(1, 0, 1), recorded(2, 4, 2, { write: false }), recorded(3, 8, 3, { call: true })],
  );
  assert.deepEqual([result.matched, result.stores, result.loads, result.calls], [3, 1, 1, 1]);
  assert.deepEqual(describeAccessDifferences(result), []);
});

test('what QEMU cut is joined again, low bytes first', () => {
  const result = compare(
    [seen(0x28, 0x8f000), seen(0x2c, 0x1), seen(0x30, 5)],
    [recorded(1, 0x28, 0x1_0008_f000n, { width: 8 }), recorded(2, 0x30, 5)],
  );
  assert.deepEqual([result.matched, result.joined], [2, 1]);
  assert.deepEqual(describeAccessDifferences(result), []);
});

test('pieces that are not of one access are not joined', () => {
  for (const second of [seen(0x2c, 2), seen(0x2d, 1), seen(0x2c, 1, 4, false), seen(0x2c, 1, 8)]) {
    const result = compare([seen(0x28, 0x8f000), second], [recorded(1, 0x28, 0x1_0008_f000n, { width: 8 })]);
    assert.deepEqual([result.matched, result.onlySeen.length, result.onlyRecorded.length], [0, 2, 1]);
  }
});

test('another value, offset, width or direction is a difference on both sides', () => {
  for (const other of [
    recorded(2, 4, 9),
    recorded(2, 5, 2),
    recorded(2, 4, 2, { width: 2 }),
    recorded(2, 4, 2, { write: false }),
  ]) {
    const result = compare(
      [seen(0, 1), seen(4, 2), seen(8, 3)],
      [recorded(1, 0, 1), other, recorded(3, 8, 3)],
    );
    assert.deepEqual([result.matched, result.onlySeen.length, result.onlyRecorded.length], [2, 1, 1]);
    assert.equal(describeAccessDifferences(result).length, 2);
  }
});

test('a missing access, one too many and an exchanged pair are differences', () => {
  const three = [seen(0, 1), seen(4, 2), seen(8, 3)];
  assert.equal(compare(three, [recorded(1, 0, 1), recorded(3, 8, 3)]).onlySeen.length, 1);
  const more = [recorded(1, 0, 1), recorded(2, 4, 2), recorded(3, 4, 2), recorded(4, 8, 3)];
  assert.equal(compare(three, more).onlyRecorded.length, 1);
  const exchanged = compare(three, [recorded(1, 4, 2), recorded(2, 0, 1), recorded(3, 8, 3)]);
  assert.equal(exchanged.matched, 2);
  assert.notDeepEqual(describeAccessDifferences(exchanged), []);
});

test('threads may interleave where their accesses overlap in time, and not elsewhere', () => {
  const left = [seen(4, 2), seen(0, 1)];
  const overlapping = compare(left, [recorded(1, 0, 1, { over: 5 })], [recorded(2, 4, 2, { thread: 2 })]);
  assert.deepEqual([overlapping.matched, overlapping.misordered.length], [2, 0]);
  const apart = compare(left, [recorded(1, 0, 1, { over: 2 })], [recorded(2, 4, 2, { thread: 2 })]);
  assert.deepEqual([apart.matched, apart.misordered.length], [2, 1]);
});

test('a value that the trace does not know matches any, and is counted', () => {
  const result = compare([seen(0, 1)], [recorded(1, 0, undefined)]);
  assert.deepEqual([result.matched, result.unknown], [1, 1]);
});
