// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EventBatch } from './columns.js';
import { DEFINITIONS, HEADER, SUMMARY } from './fixtures.js';
import { GROUP_NUMBERS_MAX } from './group-numbers.js';
import { openTrace } from './reader.js';
import { TraceWriter } from './writer.js';

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-groups-'));
after(() => rmSync(directory, { recursive: true }));

async function written(
  name: string,
  events: number,
  offsets: number,
  codec: 'deflate' | 'none',
): Promise<string> {
  const path = join(directory, name);
  const writer = await TraceWriter.create(path, HEADER, { codec });
  await writer.writeDefinitions(DEFINITIONS);
  const batch = new EventBatch();
  for (let i = 0; i < events; i++) {
    batch.kind[i] = 24 + (i % 2);
    batch.thread[i] = 1 + (i % 3);
    batch.object[i] = 3;
    batch.fd[i] = i % 5 === 0 ? -1 : 7;
    batch.op[i] = 0x0101_0400;
    batch.errno[i] = i % 7 === 0 ? 22 : 0;
    batch.site[i] = i % 4;
    batch.flags[i] = i % 11 === 0 ? 4 : 0;
    batch.time[i] = BigInt(i) * 1000n;
    batch.duration[i] = BigInt(i % 300);
    batch.offset[i] = BigInt(i % offsets) * 4n + (i % 13 === 0 ? 1n << 41n : 0n);
    batch.value[i] = BigInt(i) * 3n;
    batch.result[i] = i % 7 === 0 ? -1n : 0n;
  }
  batch.length = events;
  await writer.ready();
  await writer.writeChunk(batch, []);
  await writer.seal(SUMMARY);
  return path;
}

for (const [name, events, offsets] of [
  ['one shape', 1, 1],
  ['few shapes', 5000, 4],
  ['more than shapes with an offset', 20_000, 5000],
  ['more than can be grouped', 30_000, 30_000],
] as const) {
  for (const codec of ['deflate', 'none'] as const) {
    test(`groups hold what the rows hold: ${name}, ${codec}`, async () => {
      const path = await written(`${name} ${codec}`, events, offsets, codec);
      const whole = openTrace(path);
      const grouped = openTrace(path);
      const [rows] = whole.batches();
      const [batch] = grouped.batches({ groups: true, columns: ['time', 'duration', 'value'] });
      assert.ok(rows !== undefined && batch?.groups !== undefined);
      const { groups } = batch;
      for (let i = 0; i < events; i++) {
        const at = groups.rows[groups.of[i] as number] as number;
        for (const column of [
          'kind',
          'flags',
          'thread',
          'object',
          'fd',
          'op',
          'errno',
          'site',
          'offset',
          'result',
        ] as const) {
          assert.equal(batch[column][at], rows[column][i], `${column} of event ${i}`);
        }
        for (const column of ['time', 'duration', 'value'] as const) {
          assert.equal(batch[column][i], rows[column][i], `${column} of event ${i}`);
        }
      }
      assert.deepEqual(grouped.damages, []);
      whole.close();
      grouped.close();
    });
  }
}

/** Chunks of so many events, of which the offset is told; the rest is the same. */
async function writtenWithOffsets(
  name: string,
  chunks: number,
  events: number,
  offset: (chunk: number, row: number) => bigint,
): Promise<string> {
  const path = join(directory, name);
  const writer = await TraceWriter.create(path, HEADER, { codec: 'none' });
  await writer.writeDefinitions(DEFINITIONS);
  const batch = new EventBatch();
  for (let chunk = 0; chunk < chunks; chunk++) {
    batch.clear();
    for (let row = 0; row < events; row++) {
      batch.kind[row] = 24;
      batch.object[row] = 3;
      batch.op[row] = 0x0101_0400;
      batch.time[row] = BigInt(chunk * events + row) * 1000n;
      batch.offset[row] = offset(chunk, row);
    }
    batch.length = events;
    await writer.ready();
    await writer.writeChunk(batch, []);
  }
  await writer.seal(SUMMARY);
  return path;
}

test('a group has the same number in every chunk', async () => {
  const path = await writtenWithOffsets('same', 5, 1000, (chunk, row) => BigInt((row * 7 + chunk * 3) % 50));
  const trace = openTrace(path);
  const offsets = new Map<number, bigint>();
  for (const { groups, offset } of trace.batches({ groups: true, columns: ['time'] })) {
    assert.ok(groups !== undefined);
    assert.equal(groups.generation, 0);
    assert.equal(groups.numbered, 50);
    for (let group = 0; group < groups.count; group++) {
      const number = groups.numbers[group] as number;
      const held = offset[groups.rows[group] as number] as bigint;
      assert.equal(offsets.get(number) ?? held, held);
      offsets.set(number, held);
    }
  }
  assert.equal(offsets.size, 50);
  trace.close();
});

test('more groups than are numbered are numbered anew', async () => {
  const events = 30_000;
  const path = await writtenWithOffsets('anew', 5, events, (chunk, row) => BigInt(chunk * events + row));
  const trace = openTrace(path);
  const generations: number[] = [];
  let offsets = new Map<number, bigint>();
  for (const { groups, offset } of trace.batches({ groups: true, columns: ['time'] })) {
    assert.ok(groups !== undefined);
    if (groups.generation !== generations.at(-1)) offsets = new Map();
    generations.push(groups.generation);
    for (let group = 0; group < groups.count; group++) {
      const number = groups.numbers[group] as number;
      assert.ok(number < groups.numbered && !offsets.has(number));
      offsets.set(number, offset[groups.rows[group] as number] as bigint);
    }
    assert.equal(offsets.size, groups.numbered);
    assert.ok(groups.numbered <= GROUP_NUMBERS_MAX);
  }
  assert.deepEqual(generations, [0, 0, 1, 1, 2]);
  assert.equal(new Set(offsets.values()).size, offsets.size);
  trace.close();
});

test('what is looked up between two rows leaves the groups as they are', async () => {
  const path = await writtenWithOffsets('looked-up', 3, 500, (chunk, row) =>
    BigInt((row * (chunk + 1)) % 20),
  );
  const trace = openTrace(path);
  for (const batch of trace.batches({ groups: true, columns: ['time'] })) {
    const { groups } = batch;
    assert.ok(groups !== undefined);
    const of = groups.of.slice(0, batch.length);
    const numbers = groups.numbers.slice(0, groups.count);
    assert.equal(trace.event((batch.firstEvent + 500) % 1500)?.kind, 24);
    assert.deepEqual(groups.of.slice(0, batch.length), of);
    assert.deepEqual(groups.numbers.slice(0, groups.count), numbers);
  }
  trace.close();
});
