// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventBatch } from './columns.js';
import { TraceWriteError } from './errors.js';
import {
  DEFINITIONS,
  fillSample,
  HEADER,
  inDirectory,
  SUMMARY,
  sampleBytes,
  writeSample,
} from './fixtures.js';
import { MAX_DEFINITIONS } from './limits.js';
import { openTrace } from './reader.js';
import { TraceWriter } from './writer.js';

async function record(writer: TraceWriter, chunks: number, events: number): Promise<void> {
  const batch = new EventBatch(events);
  for (let n = 0; n < chunks; n++) {
    fillSample(batch, events, writer.nextEvent);
    await writer.ready();
    await writer.writeChunk(batch, [{ ring: 0, records: BigInt(writer.nextEvent), side: 0n }]);
  }
}

function numbersOf(path: string): number[] {
  const trace = openTrace(path);
  const numbers = [...trace.events()].map((event) => event.number);
  trace.close();
  return numbers;
}

test('a trace is private, and replaces only what is one', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    await writeSample(path, [5]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    chmodSync(path, 0o644);
    await writeSample(path, [3]);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(numbersOf(path), [0, 1, 2]);

    const precious = join(directory, 'driver.c');
    writeFileSync(precious, 'int main(void) { return 0; }\n');
    await assert.rejects(TraceWriter.create(precious, HEADER), {
      name: 'TraceError',
      message: `${precious}: exists and is not a trace: remove it first, or choose another name`,
    });
    assert.equal(readFileSync(precious, 'utf8'), 'int main(void) { return 0; }\n');

    const link = join(directory, 'link');
    symlinkSync(path, link);
    await assert.rejects(TraceWriter.create(link, HEADER), {
      message: /can't be written there: it is a symbolic link$/,
    });
    await assert.rejects(TraceWriter.create('/dev/null', HEADER), { message: /it is not a regular file$/ });
    await assert.rejects(TraceWriter.create(directory, HEADER), { message: /EISDIR$/ });
    await assert.rejects(TraceWriter.create(join(directory, 'no/such'), HEADER), { message: /ENOENT$/ });
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    await assert.rejects(TraceWriter.create(fifo, HEADER), { message: /not a regular file|ENXIO/ });
  });
});

test('a batch is free when writeChunk returns; order is kept; at most four at a time', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const writer = await TraceWriter.create(path, HEADER);
    const batch = new EventBatch(1000);
    const written: Promise<unknown>[] = [];
    for (let n = 0; n < 12; n++) {
      await writer.ready();
      fillSample(batch, 1000, writer.nextEvent);
      written.push(writer.writeChunk(batch, []));
      written.push(writer.writeDefinitions({ threads: [{ id: n + 1, process: 1, tid: n, name: '' }] }));
      batch.value.fill(0n);
    }
    for (let n = 0; n < 4; n++) {
      fillSample(batch, 10, writer.nextEvent);
      if (n < 3) {
        await writer.ready();
      }
    }
    await writer.seal(SUMMARY);
    await Promise.all(written);
    const trace = openTrace(path);
    assert.equal(trace.eventCount, 12_000);
    assert.equal(trace.definitions.threads.size, 12);
    for (const event of trace.events()) {
      assert.equal(event.value, 0xffff_ffff_0000_0000n + BigInt(event.number));
    }
    trace.close();
    assert.throws(() => writer.writeChunk(batch, []), /the trace is closed/);
  });
});

test('a flight recording keeps the last, within its bytes, and counts what it gave up', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const limit = 200_000;
    const writer = await TraceWriter.create(path, HEADER, { keepLast: limit });
    await writer.writeDefinitions(DEFINITIONS);
    const batch = new EventBatch(500);
    for (let n = 0; n < 100; n++) {
      fillSample(batch, 500, writer.nextEvent);
      await writer.writeChunk(batch, []);
      const onDisk = readdirSync(directory).reduce(
        (sum, name) => sum + statSync(join(directory, name)).size,
        0,
      );
      assert.ok(onDisk <= limit, `${onDisk} bytes after ${n + 1} chunks`);
      assert.equal(onDisk, writer.bytesWritten);
      assert.ok(
        readdirSync(directory).every((name) => (statSync(join(directory, name)).mode & 0o777) === 0o600),
      );
    }
    await writer.writeDefinitions({ threads: [{ id: 7, process: 1, tid: 7, name: 'late' }] });
    await writer.seal(SUMMARY);
    assert.deepEqual(readdirSync(directory), ['a.vtape']);
    assert.ok(statSync(path).size <= limit);
    assert.ok(statSync(path).size > limit / 2);
    const trace = openTrace(path);
    const events = [...trace.events()];
    const kept = events.length;
    assert.ok(kept > 0 && kept < 50_000);
    assert.deepEqual(
      events.map((event) => event.number),
      Array.from({ length: kept }, (_, n) => 50_000 - kept + n),
    );
    assert.equal(trace.summary?.droppedEvents, 50_000 - kept);
    assert.equal(writer.droppedEvents, 50_000 - kept);
    assert.equal(writer.droppedChunks, (50_000 - kept) / 500);
    assert.equal(trace.summary?.events, kept);
    assert.equal(
      trace.summary?.kindCounts.reduce((sum, count) => sum + count, 0),
      kept,
    );
    assert.equal(trace.definitions.threads.size, 2);
    assert.deepEqual(trace.damages, []);
    trace.close();
  });
});

test('an unsealed recording is gone on with, its partial last packet cut off', async () => {
  const sealed = await sampleBytes([300, 300]);
  const unsealed = await sampleBytes([300, 300], { seal: false });
  await inDirectory(async (directory) => {
    for (const cut of [0, 1, 500, unsealed.length - 20]) {
      const path = join(directory, `cut${cut}`);
      writeFileSync(path, unsealed);
      truncateSync(path, unsealed.length - cut);
      if (unsealed.length - cut < 100) {
        await assert.rejects(TraceWriter.resume(path), {
          name: 'TraceError',
          message: /does not begin with a whole header/,
        });
        continue;
      }
      const { writer, resumed } = await TraceWriter.resume(path);
      assert.equal(resumed.events, cut === 0 ? 600 : 300);
      assert.equal(resumed.header.recorder, HEADER.recorder);
      assert.deepEqual(resumed.definitions, DEFINITIONS);
      assert.deepEqual(
        resumed.rings,
        [{ ring: 3, records: cut === 0 ? 300n : 0n, side: 9n }].map((ring) => ring),
      );
      assert.equal(writer.nextEvent, resumed.events);
      await record(writer, 2, 100);
      await writer.seal({ ...SUMMARY, complete: false, stoppedBy: 'recovered' });
      const trace = openTrace(path);
      assert.deepEqual(trace.damages, []);
      assert.equal(trace.summary?.stoppedBy, 'recovered');
      assert.equal(
        trace.summary?.kindCounts.reduce((sum, count) => sum + count, 0),
        resumed.events + 200,
      );
      assert.equal([...trace.events()].at(-1)?.number, resumed.events + 199);
      trace.close();
    }
    const path = join(directory, 'sealed');
    writeFileSync(path, sealed);
    await assert.rejects(TraceWriter.resume(path), { name: 'TraceError', message: /was sealed properly/ });
    for (const cut of [1, 27, 60]) {
      writeFileSync(path, sealed.subarray(0, sealed.length - cut));
      const { writer } = await TraceWriter.resume(path);
      await writer.seal(SUMMARY);
      assert.deepEqual(readFileSync(path), Buffer.from(sealed), `cut ${cut}`);
    }
  });
});

test('a dead flight recording is gone on with, its parts taken in once', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const dead = await TraceWriter.create(path, HEADER, { keepLast: 150_000 });
    await dead.writeDefinitions(DEFINITIONS);
    await record(dead, 60, 500);
    await dead.close();
    const parts = readdirSync(directory).filter((name) => name.includes('.part.'));
    assert.ok(parts.length > 3);
    // The recorder died in the middle of a packet.
    const last = join(
      directory,
      parts.sort((a, b) => a.length - b.length || a.localeCompare(b)).at(-1) ?? '',
    );
    const whole = readFileSync(last);
    writeFileSync(last, Buffer.concat([whole, whole.subarray(0, 100)]));
    const { writer, resumed } = await TraceWriter.resume(path);
    assert.equal(writer.nextEvent, 30_000);
    assert.equal(resumed.events, 30_000 - dead.droppedEvents);
    await writer.seal({ ...SUMMARY, complete: false, stoppedBy: 'recovered' });
    assert.deepEqual(readdirSync(directory), ['a.vtape']);
    const numbers = numbersOf(path);
    assert.equal(numbers.length, resumed.events);
    assert.equal(numbers[0], dead.droppedEvents);
    assert.equal(numbers.at(-1), 29_999);
  });
});

test('parts of an earlier recording of the same name are removed', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const dead = await TraceWriter.create(path, HEADER, { keepLast: 150_000 });
    await record(dead, 20, 500);
    await dead.close();
    writeFileSync(join(directory, 'a.vtape.part.x'), 'not ours');
    await writeSample(path, [2]);
    assert.deepEqual(readdirSync(directory).sort(), ['a.vtape', 'a.vtape.part.x']);
  });
});

/** The shell's limit of file size stands in for a full disk: a small one can't be mounted without root. */
const FILL_DISK = `
const [writerModule, columnsModule, fixturesModule] = await Promise.all(process.argv.slice(1, 4).map((name) => import(name)));
process.on('SIGXFSZ', () => {});
const writer = await writerModule.TraceWriter.create(process.argv[4], fixturesModule.HEADER);
const batch = new columnsModule.EventBatch(2000);
const outcomes = [];
for (let n = 0; n < 12; n++) {
  fixturesModule.fillSample(batch, 2000, writer.nextEvent);
  await writer.ready();
  try { outcomes.push((await writer.writeChunk(batch, [])).events); }
  catch (error) { outcomes.push([error.name, error.code, error.events]); }
}
await writer.close();
console.log(JSON.stringify(outcomes));
`;

test('a full disk is told for each chunk, and leaves a file of whole packets', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const modules = ['writer', 'columns', 'fixtures'].map(
      (name) => new URL(`./${name}${extension}`, import.meta.url).href,
    );
    const options = process.execArgv.filter((arg) => !arg.startsWith('--test'));
    const command = [process.execPath, ...options, '--input-type=module', '-e', FILL_DISK, ...modules, path];
    // 64 blocks of 1024 bytes
    const out = execFileSync('bash', ['-c', 'ulimit -f 64; trap "" XFSZ; exec "$@"', 'bash', ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const outcomes = JSON.parse(String(out)) as unknown[];
    const good = outcomes.filter((outcome) => outcome === 2000).length;
    assert.ok(good > 0 && good < 12, String(out));
    assert.deepEqual(outcomes.at(-1), ['TraceWriteError', 'EFBIG', 2000]);
    const trace = openTrace(path);
    assert.equal([...trace.events()].length, good * 2000);
    assert.equal(trace.damages.length, 1);
    trace.close();
  });
});

test('what a reader would not accept is not written', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'a.vtape');
    const long = new Array<string>(30_000).fill('an argument that is as long as most of them are');
    const writer = await TraceWriter.create(path, { ...HEADER, command: long });
    await writer.writeDefinitions({ processes: [{ id: 1, pid: 1, parentPid: 0, exe: 'e', argv: long }] });
    const threads = Array.from({ length: MAX_DEFINITIONS }, (_, n) => ({
      id: n,
      process: 0,
      tid: 0,
      name: '',
    }));
    await assert.rejects(writer.writeDefinitions({ threads }), (error: unknown) => {
      assert.ok(error instanceof TraceWriteError);
      assert.equal(error.code, 'LIMIT');
      return true;
    });
    await record(writer, 1, 10);
    await writer.seal(SUMMARY);
    const trace = openTrace(path);
    assert.deepEqual(trace.damages, []);
    assert.match(trace.header.command.at(-1) ?? '', /^\(\d+ more\)$/);
    assert.equal(trace.definitions.processes.get(1)?.argv.length, trace.header.command.length);
    trace.close();
    const batch = new EventBatch(4);
    assert.throws(() => batch.payloads.add(0, 1, 0, 0, 0n, 100 << 20), RangeError);
    assert.ok(existsSync(path));
  });
});
