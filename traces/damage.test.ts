// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import protobuf from 'protobufjs';
import { encodeChunk } from './chunk.js';
import type { Damage } from './damage.js';
import type { EncodedColumn } from './encode.js';
import { TraceError } from './errors.js';
import { HEADER, inDirectory, sampleBytes, sourceFile, writeSample } from './fixtures.js';
import { Content, framed, trailer } from './frame.js';
import { MAX_DAMAGES } from './limits.js';
import * as messages from './messages.js';
import type { Event } from './model.js';
import { openTrace, type Trace } from './reader.js';

/** Everything that a file gives, or the one line that refuses it. */
interface Answer {
  readonly refused: string | undefined;
  readonly events: readonly Event[];
  readonly damages: readonly Damage[];
}

function answer(source: Uint8Array | string): Answer {
  let trace: Trace;
  try {
    trace = openTrace(source);
  } catch (error) {
    assert.ok(error instanceof TraceError, String(error));
    assert.ok(!error.message.includes('\n'));
    return { refused: error.message, events: [], damages: [] };
  }
  const events = [...trace.events()];
  const { damages } = trace;
  trace.close();
  return { refused: undefined, events, damages };
}

/** Stringified once for each event: comparing them thousands of times must be cheap. */
function told(event: Event): string {
  return JSON.stringify(event, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? [...value] : value,
  );
}

function without(event: Event): Event {
  // A damaged summary leaves the header's estimate of the clock's rate.
  return { ...event, time: 0, duration: 0 };
}

const CHUNKS = [40, 30, 20];
const whole = await sampleBytes(CHUNKS);
const wholeEvents = answer(whole).events.map((event) => told(without(event)));

/** Packets of the file: where each begins and ends. */
const packets = (() => {
  const spans: { start: number; end: number }[] = [];
  const reader = protobuf.Reader.create(whole);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    reader.uint32();
    reader.skip(reader.uint32());
    spans.push({ start, end: reader.pos });
  }
  return spans;
})();
const firstChunk = 2;

function assertPrefixOfWhole(found: Answer, at: string): void {
  for (const event of found.events) {
    assert.equal(told(without(event)), wholeEvents[event.number], `${at}: event ${event.number}`);
  }
}

test('an intact file has no damage', () => {
  assert.equal(packets.length, 8);
  assert.deepEqual(answer(whole).damages, []);
  assert.equal(wholeEvents.length, 90);
});

test('cut at every byte: every whole chunk before the cut is read, and the cut is told', () => {
  for (let length = 0; length < whole.length; length++) {
    const found = answer(whole.subarray(0, length));
    assertPrefixOfWhole(found, `cut at ${length}`);
    const header = packets[0] as { end: number };
    if (length < header.end) {
      assert.ok(found.refused !== undefined, `cut at ${length}`);
      continue;
    }
    const chunks = CHUNKS.filter((_, n) => (packets[firstChunk + n]?.end ?? 0) <= length);
    assert.equal(
      found.events.length,
      chunks.reduce((sum, events) => sum + events, 0),
      `cut at ${length}`,
    );
    assert.ok(found.damages.length > 0, `cut at ${length}`);
  }
});

test('each byte flipped: all events but those of the damaged chunk, and the damage is told', () => {
  const copy = Uint8Array.from(whole);
  for (let at = 0; at < whole.length; at++) {
    for (const flip of [0xff, 1 << (at % 8)]) {
      copy[at] = (whole[at] as number) ^ flip;
      const found = answer(copy);
      copy[at] = whole[at] as number;
      const where = `byte ${at} ^ ${flip}`;
      assert.equal(found.refused, undefined, where);
      assertPrefixOfWhole(found, where);
      const packet = packets.findIndex(({ start, end }) => at >= start && at < end);
      const lost = CHUNKS[packet - firstChunk] ?? 0;
      assert.equal(found.events.length, 90 - lost, where);
      assert.ok(found.damages.length > 0, where);
      if (lost > 0) {
        const firstEvent = CHUNKS.slice(0, packet - firstChunk).reduce((sum, events) => sum + events, 0);
        assert.deepEqual(
          found.damages
            .filter((damage) => (damage.events ?? 0) > 0)
            .map(({ firstEvent, events }) => [firstEvent, events]),
          [[firstEvent, lost]],
          where,
        );
      }
    }
  }
});

test('without an index the same holds', async () => {
  const unsealed = await sampleBytes(CHUNKS, { seal: false });
  const found = answer(unsealed);
  assert.equal(found.events.length, 90);
  assert.deepEqual(
    found.damages.map((damage) => damage.message),
    ['no summary: the recording did not end properly, or the end of the file is missing'],
  );
  const copy = Uint8Array.from(unsealed);
  for (let at = (packets[0] as { end: number }).end; at < unsealed.length; at += 3) {
    copy[at] = (unsealed[at] as number) ^ 0x40;
    const broken = answer(copy);
    copy[at] = unsealed[at] as number;
    assertPrefixOfWhole(broken, `byte ${at}`);
    assert.ok(broken.events.length >= 50, `byte ${at}: ${broken.events.length}`);
    assert.ok(broken.damages.length >= 2, `byte ${at}`);
  }
});

test('what is missing is told exactly', () => {
  const { start, end } = packets[firstChunk + 1] as { start: number; end: number };
  const flipped = Uint8Array.from(whole);
  flipped[end - 5] = (flipped[end - 5] as number) ^ 1;
  assert.deepEqual(
    answer(flipped).damages.map((damage) => damage.message),
    [`bytes ${start} to ${end - 1}: checksum mismatch; events 40 to 69 are missing`],
  );
  const cut = whole.subarray(0, start + 100);
  assert.deepEqual(
    answer(cut).damages.map((damage) => damage.message),
    [
      `bytes ${start} to ${start + 99}: the last packet is cut off, 100 of its ${end - start} bytes are there`,
      'no summary: the recording did not end properly, or the end of the file is missing',
    ],
  );
  const hole = Buffer.concat([whole.subarray(0, start), Buffer.alloc(77), whole.subarray(end)]);
  assert.deepEqual(
    answer(hole).damages.map((damage) => damage.message),
    [
      `bytes ${start} to ${start + 76}: not a packet; events 40 to 69 are missing`,
      'no usable index: the end of the file is missing or damaged',
    ],
  );
});

test('a large trace with bytes flipped here and there', async () => {
  const large = Uint8Array.from(await sampleBytes([65536, 65536, 1000]));
  let state = 12345;
  for (let n = 0; n < 24; n++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const at = state % large.length;
    const before = large[at] as number;
    large[at] = before ^ 0x10;
    const trace = openTrace(large);
    let events = 0;
    for (const batch of trace.batches()) {
      events += batch.length;
    }
    const lost = trace.damages.reduce((sum, damage) => sum + (damage.events ?? 0), 0);
    assert.equal(events + lost, 132072, `byte ${at}`);
    assert.ok(trace.damages.length > 0, `byte ${at}`);
    large[at] = before;
  }
});

test('what is no trace is refused in one line', async () => {
  assert.match(answer(new Uint8Array(0)).refused ?? '', /^trace in memory: is empty, not a trace$/);
  for (const bytes of [
    Buffer.from('#!/bin/sh\n'),
    Buffer.alloc(100_000, 0x0a),
    Buffer.alloc(5_000_000),
    deflateRawSync(whole),
  ]) {
    assert.match(answer(bytes).refused ?? '', /is not a trace/);
  }
  assert.match(
    answer('/nonexistent/trace').refused ?? '',
    /^\/nonexistent\/trace: can't be opened: no such file$/,
  );
  await inDirectory(async (directory) => {
    assert.match(answer(directory).refused ?? '', /is a directory, not a trace$/);
  });
});

function file(...bodies: readonly Uint8Array[][]): Uint8Array {
  return Buffer.concat(bodies.flat());
}

function headerPacket(versionMajor: number, versionMinor: number): Uint8Array[] {
  return framed(Content.HEADER, [
    messages.encodeMessage(messages.HEADER, { ...HEADER, versionMajor, versionMinor }),
  ]);
}

test('a newer major version is refused, a newer minor one accepted', () => {
  assert.equal(
    answer(file(headerPacket(2, 3))).refused,
    'trace in memory: has format version 2.3, this vfiotape reads up to 1: use a newer vfiotape (it was written by vfiotape test)',
  );
  const newer = file(headerPacket(1, 9), framed(15, [Uint8Array.of(1, 2, 3)]));
  assert.equal(answer(newer).refused, undefined);
  assert.equal(answer(newer).damages.length, 1);
});

const COLUMN: EncodedColumn = {
  id: 1,
  width: 1,
  transform: 0,
  base: 0n,
  codec: 0,
  rawSize: 4,
  data: new Uint8Array(4),
  escapes: 0,
  planes: false,
};

function chunkOf(columns: readonly Partial<EncodedColumn>[], more: object = {}): Uint8Array[] {
  const head = {
    firstEvent: 0,
    events: 4,
    firstTicks: 0n,
    lastTicks: 0n,
    kinds: ~0n & 0xffff_ffff_ffff_ffffn,
  };
  const chunk = {
    ...head,
    columns: columns.map((column) => ({ ...COLUMN, ...column })),
    payloads: undefined,
    rings: [],
    ...more,
  };
  return framed(Content.CHUNK, encodeChunk(chunk));
}

/** The only damage that a file with this chunk has, beside its missing summary. */
function complaint(...args: Parameters<typeof chunkOf>): string {
  const { damages, events } = answer(file(headerPacket(1, 0), chunkOf(...args)));
  assert.equal(events.length, 0);
  return damages.map((damage) => damage.message).find((message) => !message.startsWith('no summary')) ?? '';
}

test('sizes in a chunk are checked against each other before anything is allocated', () => {
  const bomb = deflateRawSync(new Uint8Array(64 << 20));
  assert.match(complaint([{ codec: 1, data: bomb }]), /deflate: .*larger than/);
  assert.match(complaint([{ rawSize: 0xffffffff }]), /4294967295 bytes for 4 events/);
  assert.match(complaint([{ width: 3, rawSize: 12 }]), /numbers of 3 bytes/);
  assert.match(complaint([{ codec: 7 }]), /codec 7 is not known/);
  assert.match(complaint([{ id: 7, transform: 9 }]), /transform 9 is not known/);
  assert.match(complaint([{ escapes: 0xffffffff }]), /4294967295 escapes in 4 events/);
  assert.match(
    complaint([{ escapes: 1, rawSize: 12, data: new Uint8Array(12) }]),
    /1 escapes are announced, but not there/,
  );
  assert.match(complaint([{ transform: 2, rawSize: 0xfffffff0 }]), /not a table/);
  assert.match(
    complaint([{ id: 14, data: Uint8Array.of(0, 1, 2, 200) }, { transform: 2 }]),
    /its table has 4 entries, the shapes need 201/,
  );
  assert.match(complaint([{ codec: 1, data: Uint8Array.of(0xff, 0xff) }]), /deflate: /);
  assert.match(
    complaint([{ codec: 1, data: deflateRawSync(new Uint8Array(3)) }]),
    /3 bytes inflated where 4 are announced/,
  );
  assert.match(
    complaint([], { payloads: { codec: 1, rawSize: 0xffffffff, data: bomb } }),
    /4294967295 bytes of payloads/,
  );
  assert.match(complaint(Array.from({ length: 65 }, () => COLUMN)), /more than 64 columns/);
  assert.match(complaint([COLUMN], { events: 4_000_000_000 }), /4000000000 events; a chunk has 1 to 65536/);
  const beyond = Uint8Array.of(0x0a, 2, 0x08, 4);
  assert.match(complaint([], { payloads: { codec: 0, rawSize: 4, data: beyond } }), /event 4 after 0, of 4/);
  const endless = Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f);
  assert.match(
    complaint([], { payloads: { codec: 0, rawSize: 6, data: endless } }),
    /a payload leaves its chunk/,
  );
});

test('unknown columns, kinds and roles are passed on or over, never refused', () => {
  const payloads = Uint8Array.of(0x0a, 4, 0x10, 99, 0x42, 0);
  const bytes = file(
    headerPacket(1, 1),
    chunkOf([{ data: Uint8Array.of(29, 200, 255, 0) }, { id: 40 }], {
      payloads: { codec: 0, rawSize: payloads.length, data: payloads },
    }),
  );
  const { events } = answer(bytes);
  assert.deepEqual(
    events.map((event) => event.kind),
    [29, 200, 255, 0],
  );
  assert.equal(events[0]?.payloads[0]?.role, 99);
});

test('memory and time stay within bounds, whatever the file says', () => {
  const million = framed(Content.DEFINITIONS, [
    new Uint8Array(2 * 500_000).map((_, n) => (n % 2 === 0 ? 0x12 : 0)),
  ]);
  const definitions = answer(file(headerPacket(1, 0), million, chunkOf([COLUMN])));
  assert.match(definitions.damages[0]?.message ?? '', /definitions: more than 262144 definitions/);
  assert.equal(definitions.events.length, 4);

  const empty = framed(9, []);
  const packets = Buffer.concat(new Array<Uint8Array>(200_000).fill(Buffer.concat(empty)));
  assert.equal(answer(file(headerPacket(1, 0), [packets])).refused, undefined);

  // Sync words without end, each the start of a packet that would reach to the end of the file.
  const fake = Buffer.concat([
    Uint8Array.of(0x0a, 0x80, 0x80, 0x80, 0x01),
    Buffer.from('\x09VTAPEPKT\x15abcd\x2a\x01x', 'latin1'),
  ]);
  const fakes = Buffer.concat(new Array<Uint8Array>(200_000).fill(fake));
  const started = Date.now();
  const found = answer(file(headerPacket(1, 0), [fakes]));
  assert.equal(found.events.length, 0);
  assert.ok(Date.now() - started < 20_000);

  const holes = Buffer.concat(new Array<Uint8Array>(3000).fill(Buffer.concat([Uint8Array.of(1), ...empty])));
  const many = answer(file(headerPacket(1, 0), [holes]));
  assert.equal(many.damages.length, MAX_DAMAGES);
  assert.match(many.damages.at(-1)?.message ?? '', /^and \d+ more places/);
});

test('an index that does not fit its file is not believed', () => {
  const chunk = Buffer.concat(chunkOf([COLUMN]));
  const header = Buffer.concat(headerPacket(1, 0));
  for (const entry of [
    [0xffffffff, 10, 5],
    [0, 0xffffffff, 5],
    [header.length, chunk.length, 5, 2 ** 53],
  ] as const) {
    const writer = protobuf.Writer.create().uint32(0x0a).fork();
    writer.uint32(0x09).fixed64(entry[0]).uint32(0x10).uint32(entry[1]).uint32(0x18).uint32(entry[2]);
    writer
      .uint32(0x21)
      .fixed64(entry[3] ?? 0)
      .uint32(0x28)
      .uint32(4)
      .ldelim();
    const index = framed(Content.INDEX, [writer.finish()]);
    const bytes = file([header, chunk], index, trailer(header.length + chunk.length));
    const { events, damages } = answer(bytes);
    assert.equal(events.length, 4);
    assert.ok(damages.length > 0);
  }
});

test('a file of random bytes behind a header', () => {
  let state = 99;
  for (let round = 0; round < 300; round++) {
    const noise = Uint8Array.from({ length: 300 }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    });
    const content = framed(3 + (round % 6), [noise]);
    const found = answer(file(headerPacket(1, 0), content, chunkOf([COLUMN])));
    // Noise with a good checksum may pass for a chunk of later events; then these come out of order.
    assert.ok(
      found.events.length === 4 || found.damages.some((damage) => damage.message.includes('come again')),
    );
  }
});

const READ_STDIN = `
const { openTrace } = await import(process.argv[1]);
const trace = openTrace('-');
let events = 0, sum = 0n;
for (const event of trace.events()) { events++; sum += event.value & 0xffffn; }
console.log(JSON.stringify({ stream: trace.stream, events, sum: String(sum), complete: trace.summary?.complete, objects: trace.definitions.objects.size, damages: trace.damages.map((d) => d.message) }));
`;

test('standard input: a pipe is read as a stream, a file at random', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    await writeSample(path, [40, 30, 20]);
    const args = [
      ...process.execArgv.filter((arg) => !arg.startsWith('--test')),
      '--input-type=module',
      '-e',
      READ_STDIN,
      new URL(`./reader${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url).href,
    ];
    const piped = async (bytes: Uint8Array): Promise<unknown> => {
      const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      let out = '';
      child.stdout.on('data', (data) => {
        out += String(data);
      });
      // In two pieces, so that a packet arrives in parts.
      child.stdin.write(bytes.subarray(0, bytes.length >> 1));
      setTimeout(() => child.stdin.end(bytes.subarray(bytes.length >> 1)), 100);
      await new Promise((resolve) => child.on('close', resolve));
      return JSON.parse(out);
    };
    const expected = { events: 90, sum: String((89 * 90) / 2), complete: true, objects: 2, damages: [] };
    assert.deepEqual(await piped(readFileSync(path)), { stream: true, ...expected });
    const fd = openSync(path, 'r');
    const direct = execFileSync(process.execPath, args, { stdio: [fd, 'pipe', 'inherit'] });
    closeSync(fd);
    assert.deepEqual(JSON.parse(String(direct)), { stream: false, ...expected });

    const broken = Uint8Array.from(readFileSync(path));
    const { start, end } = packets[firstChunk + 1] as { start: number; end: number };
    broken[end - 5] = (broken[end - 5] as number) ^ 1;
    assert.deepEqual(await piped(broken.subarray(0, broken.length - 5)), {
      stream: true,
      events: 60,
      sum: String((89 * 90) / 2 - Array.from({ length: 30 }, (_, n) => 40 + n).reduce((a, b) => a + b)),
      complete: true,
      objects: 2,
      damages: [
        `bytes ${start} to ${end - 1}: not a packet; events 40 to 69 are missing`,
        `bytes ${broken.length - 27} to ${broken.length - 6}: the last packet is cut off, 22 of its 27 bytes are there`,
      ],
    });
  });
});

test('a stream is read once', async () => {
  await inDirectory(async (directory) => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const writer = spawn('sh', ['-c', 'cat "$1" > "$2"', 'sh', join(directory, 'a'), fifo]);
    writeFileSync(join(directory, 'a'), whole);
    const trace = openTrace(fifo);
    assert.equal([...trace.events()].length, 90);
    assert.throws(() => [...trace.events()], { name: 'TraceError', message: /can be read only once/ });
    assert.throws(() => trace.event(3), { name: 'TraceError', message: /no random access/ });
    trace.close();
    writer.kill();
  });
});

test('checksums are those of zlib, over all that follows them', () => {
  const { start, end } = packets[firstChunk] as { start: number; end: number };
  const at = whole.indexOf(0x15, start);
  assert.equal(crc32(whole.subarray(at + 5, end)), Buffer.from(whole).readUInt32LE(at + 1));
  assert.ok(sourceFile('trace.proto').includes('CRC-32'));
});
