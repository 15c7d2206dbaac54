// SPDX-License-Identifier: Apache-2.0
/** FORMAT.md says what is the case. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventBatch } from './columns.js';
import { inDirectory, sampleBytes, sourceFile } from './fixtures.js';
import * as limits from './limits.js';
import { EventKind, PayloadRole } from './model.js';
import { openTrace } from './reader.js';
import { FORMAT_MAJOR, FORMAT_MINOR } from './version.js';
import { TraceWriter } from './writer.js';

// The formatter pads the tables.
const format = sourceFile('FORMAT.md').replaceAll(/ +/g, ' ');

/** The recording of the example. */
async function writeExample(path: string): Promise<void> {
  const clock = {
    source: 'tsc',
    ticksPerSecond: 1e9,
    baseTicks: 0n,
    baseMonotonicNs: 0n,
    baseRealtimeNs: 0n,
    pairs: [],
  };
  const host = { kernel: '', machine: '', cpu: '', cpus: 0, hostname: '', os: '', kernelCommandLine: '' };
  const modes = {
    dialect: 'modern',
    mmio: '',
    whenFull: '',
    dma: '',
    backend: '',
    ringBytes: 0,
    maxSize: 0,
    atLimit: '',
    durationNs: 0,
    watch: [],
  };
  const writer = await TraceWriter.create(
    path,
    { recorder: 'example', host, command: ['driver'], modes, clock },
    { codec: 'none' },
  );
  const device = { id: 1, kind: 4, path: '0000:00:03.0', parent: 0, process: 1, seenBorn: true, device: 0 };
  await writer.writeDefinitions({ objects: [device] });
  const batch = new EventBatch(3);
  const rows = [
    { kind: EventKind.READ, op: 4, time: 1000n, duration: 200n, register: 0n, value: 0x10d3_8086n, site: 1 },
    { kind: EventKind.READ, op: 4, time: 1600n, duration: 250n, register: 0n, value: 0x10d3_8086n, site: 1 },
    { kind: EventKind.WRITE, op: 2, time: 2300n, duration: 300n, register: 4n, value: 6n, site: 2 },
  ];
  for (const [i, row] of rows.entries()) {
    batch.kind[i] = row.kind;
    batch.thread[i] = 1;
    batch.object[i] = 1;
    batch.fd[i] = 5;
    batch.op[i] = row.op;
    batch.time[i] = row.time;
    batch.duration[i] = row.duration;
    batch.offset[i] = (7n << 40n) + row.register;
    batch.value[i] = row.value;
    batch.result[i] = BigInt(row.op);
    batch.site[i] = row.site;
  }
  batch.length = rows.length;
  await writer.writeChunk(batch, []);
  await writer.seal({
    clock,
    losses: [],
    endings: [],
    complete: true,
    stoppedBy: 'driver-exit',
    waits: 0,
    waitedNs: 0,
    lateEvents: 0,
    dmaComparisons: [],
  });
}

test('the example is what the writer writes, and is read as it says', async () => {
  const block = /## Example[\s\S]*?```\n([\s\S]*?)```/.exec(format)?.[1] ?? '';
  const hex = block
    .split('\n')
    .map((line) => line.replace(/;.*/, '').trim())
    .join('');
  const example = Buffer.from(hex, 'hex');
  await inDirectory(async (directory) => {
    const path = join(directory, 'example.vtape');
    await writeExample(path);
    assert.equal(hex, readFileSync(path).toString('hex'));
  });
  const trace = openTrace(example);
  assert.deepEqual(
    [...trace.events()].map(({ kind, time, duration, offset, value }) => [
      kind,
      time + duration,
      offset & 0xffn,
      value,
    ]),
    [
      [EventKind.READ, 1000, 0n, 0x10d3_8086n],
      [EventKind.READ, 1600, 0n, 0x10d3_8086n],
      [EventKind.WRITE, 2300, 4n, 6n],
    ],
  );
  assert.deepEqual(trace.damages, []);
});

test('version, kinds, roles and limits are those of the code', () => {
  assert.ok(format.includes(`Version **${FORMAT_MAJOR}.${FORMAT_MINOR}**`));
  assert.ok(format.includes(`\n| ${FORMAT_MAJOR}.${FORMAT_MINOR} |`));
  for (const [name, number] of Object.entries(EventKind)) {
    assert.ok(format.includes(`\n| ${number} | ${name} |`), `kind ${name}`);
  }
  for (const [name, number] of Object.entries(PayloadRole)) {
    assert.match(format, new RegExp(`\\b${number} ${name}\\b`), `role ${name}`);
  }
  for (const [line, limit] of [
    ['a packet | 64 MiB', limits.MAX_PACKET_BYTES === 64 << 20],
    ['a header, definitions or summary message | 1 MiB', limits.MAX_MESSAGE_BYTES === 1 << 20],
    ['packets in a file | 2^20', limits.MAX_PACKETS === 1 << 20],
    ['a string | 64 KiB', limits.MAX_STRING_BYTES === 64 << 10],
    ['2^18, 32 MiB', limits.MAX_DEFINITIONS === 1 << 18 && limits.MAX_DEFINITIONS_BYTES === 32 << 20],
    ['columns of a chunk | 64', limits.MAX_COLUMNS === 64],
    ['shapes of a chunk | 65536', limits.MAX_SHAPES === 65536],
    ['ring positions of a chunk | 4096', limits.MAX_RINGS === 4096],
    ['40 MiB uncompressed', limits.MAX_PAYLOADS_RAW_BYTES === 40 << 20],
  ] as const) {
    assert.ok(format.includes(line) && limit, line);
  }
});

const protoc = spawnSync('protoc', ['--version']).status === 0;

test('protoc reads a trace', { skip: protoc ? false : 'protoc is not installed' }, async () => {
  await inDirectory(async (directory) => {
    const bytes = await sampleBytes([200, 10]);
    const schema = join(directory, 'trace.proto');
    const { writeFileSync } = await import('node:fs');
    writeFileSync(schema, sourceFile('trace.proto'));
    const text = String(
      execFileSync('protoc', [`--proto_path=${directory}`, '--decode=vfiotape.Trace', schema], {
        input: bytes,
      }),
    );
    assert.equal(text.match(/^packet \{/gm)?.length, 7);
    assert.match(text, /recorder: "vfiotape test"/);
    assert.match(text, /events: 200/);
    assert.match(text, /bdf: "0000:00:03.0"/);
  });
});
