// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { COLUMN_NAMES, EventBatch } from './columns.js';
import {
  DEFINITIONS,
  fillSample,
  HEADER,
  inDirectory,
  SUMMARY,
  sampleBytes,
  sourceFile,
  writeSample,
} from './fixtures.js';
import { EventKind } from './model.js';
import { openTrace } from './reader.js';
import { FORMAT_MINOR } from './version.js';
import { TraceWriter } from './writer.js';

interface Sample {
  readonly kind: number;
  readonly flags: number;
  readonly thread: number;
  readonly object: number;
  readonly fd: number;
  readonly op: number;
  readonly time: bigint;
  readonly duration: bigint;
  readonly offset: bigint;
  readonly value: bigint;
  readonly result: bigint;
  readonly errno: number;
  readonly site: number;
  readonly payloads: readonly {
    readonly role: number;
    readonly index: number;
    readonly flags: number;
    readonly address: bigint;
    readonly data: Uint8Array;
  }[];
}

/** Numbers as they come: small ones, those around the edges of the widths, and any. */
function unsigned(bits: number): fc.Arbitrary<bigint> {
  const max = (1n << BigInt(bits)) - 1n;
  const edges = [
    0n,
    1n,
    254n,
    255n,
    256n,
    65534n,
    65535n,
    65536n,
    0xfffffffen,
    0xffffffffn,
    1n << 32n,
    1n << 63n,
    max,
  ];
  return fc.oneof(
    fc.bigInt({ min: 0n, max: 300n }).map((value) => (value > max ? max : value)),
    fc.constantFrom(...edges.filter((edge) => edge <= max)),
    fc.bigInt({ min: 0n, max }),
  );
}

function small(bits: number): fc.Arbitrary<number> {
  return unsigned(bits).map(Number);
}

const payload = fc.record({
  role: small(32),
  index: small(32),
  flags: fc.integer({ min: 0, max: 7 }),
  address: unsigned(64),
  data: fc.uint8Array({ maxLength: 40 }),
});

/** Every kind there is, and some that a newer recorder may have. */
const kind = fc.oneof(fc.constantFrom(...Object.values(EventKind)), fc.integer({ min: 0, max: 255 }));

const event: fc.Arbitrary<Sample> = fc.record({
  kind,
  flags: small(8),
  thread: small(32),
  object: small(32),
  fd: fc.oneof(fc.integer({ min: -1, max: 60 }), fc.integer()),
  op: small(32),
  time: unsigned(64),
  duration: unsigned(64),
  offset: unsigned(64),
  value: unsigned(64),
  result: unsigned(64).map((value) => BigInt.asIntN(64, value)),
  errno: small(16),
  site: small(32),
  payloads: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(payload, { maxLength: 3 }) },
  ),
});

/** Alternating between few different events is what makes shapes; all different is what breaks them. */
const events = fc.oneof(
  fc.array(event, { minLength: 1, maxLength: 60 }),
  fc
    .tuple(
      fc.array(event, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 400 }),
    )
    .map(([few, order]) => order.map((n) => few[n % few.length] as Sample)),
);

function fill(batch: EventBatch, samples: readonly Sample[]): void {
  batch.clear();
  for (const [i, sample] of samples.entries()) {
    for (const name of COLUMN_NAMES) {
      const column: { [index: number]: number | bigint } = batch[name];
      column[i] = sample[name];
    }
    for (const { role, index, flags, address, data } of sample.payloads) {
      const start = batch.payloads.add(i, role, index, flags, address, data.length);
      batch.payloads.bytes.set(data, start);
    }
  }
  batch.length = samples.length;
}

test('whatever is written is read back, for every kind, column and payload', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const batch = new EventBatch(400);
    await fc.assert(
      fc.asyncProperty(
        fc.array(events, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        async (chunks, compressed) => {
          const writer = await TraceWriter.create(path, HEADER, { codec: compressed ? 'deflate' : 'none' });
          for (const samples of chunks) {
            fill(batch, samples);
            await writer.writeChunk(batch, []);
          }
          await writer.seal(SUMMARY);
          const trace = openTrace(path);
          const written = chunks.flat();
          let number = 0;
          for (const read of trace.batches()) {
            assert.equal(read.firstEvent, number);
            for (let i = 0; i < read.length; i++, number++) {
              const expected = written[number] as Sample;
              for (const name of COLUMN_NAMES) {
                assert.equal(read[name][i], expected[name], `${name} of event ${number}`);
              }
              const payloads = read.payloads
                .of(i)
                .map(({ role, index, address, cut, fault, redacted, data }) => ({
                  role,
                  index,
                  flags: (cut ? 1 : 0) | (fault ? 2 : 0) | (redacted ? 4 : 0),
                  address,
                  data,
                }));
              assert.deepEqual(
                payloads.map((found) => ({ ...found, data: [...found.data] })),
                expected.payloads.map((wanted) => ({ ...wanted, data: [...wanted.data] })),
              );
            }
          }
          assert.equal(number, written.length);
          assert.deepEqual(trace.damages, []);
          for (const name of COLUMN_NAMES) {
            let at = 0;
            for (const read of trace.batches({ columns: [name], payloads: false })) {
              for (let i = 0; i < read.length; i++, at++) {
                assert.equal(read[name][i], written[at]?.[name], `${name} alone, event ${at}`);
              }
            }
          }
          trace.close();
        },
      ),
      { numRuns: 120 },
    );
  });
});

test('header, definitions and summary are read back', async () => {
  const trace = openTrace(await sampleBytes([10, 20]));
  assert.deepEqual(trace.header, { ...HEADER, versionMajor: 1, versionMinor: FORMAT_MINOR });
  assert.deepEqual([...trace.definitions.objects.values()], DEFINITIONS.objects);
  assert.deepEqual([...trace.definitions.devices.values()], DEFINITIONS.devices);
  assert.deepEqual([...trace.definitions.mmioSites.values()], DEFINITIONS.mmioSites);
  assert.deepEqual(trace.summary, {
    ...SUMMARY,
    events: 30,
    droppedEvents: 0,
    kindCounts: [0, 0, 0, 0, 0, 0, 0, 10, 10, 10],
  });
  assert.equal(trace.clock.ticksPerSecond, SUMMARY.clock.ticksPerSecond);
  assert.ok(trace.indexed);
});

test('ranges of numbers and times, kinds, and single events', async () => {
  const trace = openTrace(await sampleBytes([100, 100, 100]));
  const numbers = (query: Parameters<typeof trace.events>[0]): number[] =>
    [...trace.events(query)].map((e) => e.number);
  assert.deepEqual(numbers({ from: 98, to: 102 }), [98, 99, 100, 101]);
  assert.deepEqual(numbers({ from: 299 }), [299]);
  assert.deepEqual(numbers({ from: 300 }), []);
  assert.deepEqual(numbers({ from: 90, to: 100, kinds: [8] }), [91, 94, 97]);
  // Event 150 completes at tick 150 007, 2.5 ticks a nanosecond and a little.
  const at = trace.ticksToNs(150_007);
  assert.deepEqual(numbers({ fromTime: at, toTime: trace.ticksToNs(152_009) + 1 }), [150, 151, 152]);
  assert.equal(trace.event(150)?.number, 150);
  assert.equal(trace.event(0)?.number, 0);
  assert.equal(trace.event(299)?.value, 0xffff_ffff_0000_0000n + 299n);
  assert.equal(trace.event(300), undefined);
  assert.equal(trace.event(-1), undefined);
  assert.deepEqual([...trace.batches({ kinds: [1] })].length, 0);
  assert.deepEqual(
    [...trace.chunks()].map((chunk) => [chunk.firstEvent, chunk.events, chunk.kinds]),
    [0, 100, 200].map((first) => [first, 100, 0x380n]),
  );
});

test('full chunks with thousands of shapes, and with too many', async () => {
  await inDirectory(async (directory) => {
    for (const different of [300, 5000, 65536]) {
      const path = join(directory, `${different}.vtape`);
      const writer = await TraceWriter.create(path, HEADER);
      const batch = new EventBatch();
      for (let round = 0; round < 2; round++) {
        fillSample(batch, 65536, round * 65536);
        for (let i = 0; i < 65536; i++) {
          batch.site[i] = i % different;
          batch.offset[i] = BigInt(i % different) << 33n;
        }
        await writer.ready();
        await writer.writeChunk(batch, []);
      }
      await writer.seal(SUMMARY);
      const trace = openTrace(path);
      let number = 0;
      for (const read of trace.batches()) {
        for (let i = 0; i < read.length; i++, number++) {
          if (
            read.site[i] !== i % different ||
            read.offset[i] !== BigInt(i % different) << 33n ||
            read.value[i] !== 0xffff_ffff_0000_0000n + BigInt(number) ||
            read.time[i] !== BigInt(number) * 1000n + BigInt(number % 13)
          ) {
            assert.fail(`event ${number} of ${different}`);
          }
        }
      }
      assert.equal(number, 131072);
      trace.close();
    }
  });
});

/** One column as FORMAT.md says that it is read: an implementation that knows nothing of ours. */
function plainDecode(column: Record<string, unknown>, events: number, shapes: readonly bigint[]): bigint[] {
  const data =
    column['codec'] === 1
      ? inflateRawSync(column['data'] as Uint8Array)
      : Buffer.from(column['data'] as Uint8Array);
  const width = column['width'] as number;
  const transform = column['transform'] as number;
  const escapes = column['escapes'] as number;
  const base = BigInt(String(column['base']));
  assert.equal(data.length, column['raw_size']);
  const count = width === 0 ? 0 : (data.length - 8 * escapes) / width;
  const numbers: bigint[] = [];
  let escaped = 0;
  for (let n = 0; n < count; n++) {
    let number = 0n;
    for (let b = 0; b < width; b++) {
      number |=
        BigInt(data[column['planes'] === true ? b * count + n : n * width + b] as number) << BigInt(8 * b);
    }
    if (escapes > 0 && number === (1n << BigInt(8 * width)) - 1n) {
      number = data.readBigUInt64LE(width * count + 8 * escaped++);
    }
    numbers.push(number);
  }
  const values: bigint[] = [];
  const last = new Map<bigint, bigint>();
  for (let i = 0; i < events; i++) {
    const shape = shapes[i] ?? 0n;
    const r = width === 0 ? 0n : (numbers[transform === 2 ? Number(shape) : i] as bigint);
    const before =
      transform === 1 ? (values[i - 1] ?? base) : transform === 3 ? (last.get(shape) ?? base) : base;
    const value = BigInt.asUintN(64, before + (transform === 3 ? (r >> 1n) ^ -(r & 1n) : r));
    last.set(shape, value);
    values.push(value);
  }
  return values;
}

test('plain protobuf and FORMAT.md suffice to read a trace', async () => {
  const Trace = protobuf
    .parse(sourceFile('trace.proto'), { keepCase: true })
    .root.lookupType('vfiotape.Trace');
  const Payloads = Trace.root.lookupType('vfiotape.Payloads');
  for (const codec of ['deflate', 'none'] as const) {
    const bytes = await sampleBytes([3000, 1], { codec });
    const ours = [...openTrace(bytes).batches()].length;
    assert.equal(ours, 2);
    const trace = Trace.toObject(Trace.decode(bytes), { longs: String, defaults: true, bytes: Buffer }) as {
      packet: Record<string, Record<string, unknown>>[];
    };
    assert.deepEqual(
      trace.packet.map((packet) => Object.keys(packet).find((key) => key !== 'sync' && key !== 'crc32')),
      ['header', 'definitions', 'chunk', 'chunk', 'summary', 'index', 'trailer'],
    );
    assert.equal(trace.packet[0]?.['sync'] as unknown, String(0x544b_5045_5041_5456n));
    const batch = new EventBatch(3000);
    fillSample(batch, 3000, 0);
    const chunk = trace.packet[2]?.['chunk'] as Record<string, unknown>;
    const columns = new Map(
      (chunk['columns'] as Record<string, unknown>[]).map((column) => [column['id'] as number, column]),
    );
    const shapeColumn = columns.get(14);
    const shapes = shapeColumn === undefined ? [] : plainDecode(shapeColumn, 3000, []);
    const values = (id: number): bigint[] => {
      const column = columns.get(id);
      return column === undefined ? new Array<bigint>(3000).fill(0n) : plainDecode(column, 3000, shapes);
    };
    assert.deepEqual(values(1).map(Number), [...batch.kind.subarray(0, 3000)]);
    assert.deepEqual(
      values(5).map((fd) => Number(BigInt.asIntN(32, fd))),
      [...batch.fd.subarray(0, 3000)],
    );
    assert.deepEqual(values(7), [...batch.time.subarray(0, 3000)]);
    assert.deepEqual(values(9), [...batch.offset.subarray(0, 3000)]);
    assert.deepEqual(values(10), [...batch.value.subarray(0, 3000)]);
    assert.deepEqual(
      values(11).map((result) => BigInt.asIntN(64, result)),
      [...batch.result.subarray(0, 3000)],
    );
    const blob = chunk['payloads'] as { codec: number; data: Uint8Array };
    const payloads = Payloads.decode(blob.codec === 1 ? inflateRawSync(blob.data) : blob.data) as unknown as {
      payload: { event: number; data: Uint8Array }[];
    };
    assert.equal(payloads.payload.length, 1000);
    assert.equal(payloads.payload[2]?.event, 6);
    assert.deepEqual([...(payloads.payload[2]?.data ?? [])], [6, 7, 8, 9, 10, 11]);
  }
});

test('the same recording gives the same file', async () => {
  await inDirectory(async (directory) => {
    const [a, b] = [join(directory, 'a'), join(directory, 'b')];
    await writeSample(a, [500, 700]);
    await writeSample(b, [500, 700]);
    assert.deepEqual(readFileSync(a), readFileSync(b));
  });
});
