// SPDX-License-Identifier: Apache-2.0
/**
 * What the verbs tell of a recording does not depend on how it is cut into chunks. The reader fills the same batch with each
 * chunk: who keeps a place in one, or does something once for a chunk, is found out here.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { RecordedSession } from '../../session/fixtures.js';
import { openTrace } from '../../traces/reader.js';
import { TraceWriter } from '../../traces/writer.js';
import { command } from '../end-to-end/harness.js';
import { record } from '../mutation/clean-session.js';
import { OTHER_SESSIONS } from '../mutation/other-sessions.js';
import { afterCalls, type ChunkEnd, every, recut, writtenLate } from './recut.js';
import { difference, page, TELLERS, type Teller } from './told.js';

const CORPUS = join(packageRoot(), 'traces/corpus');
const directory = mkdtempSync(join(tmpdir(), 'vfiotape-chunks-'));
after(() => rmSync(directory, { recursive: true }));

/** Thousands of chunks take long: so many events are cut so finely at most. */
const CUTS: Readonly<Record<string, { readonly ends: ChunkEnd; readonly most: number }>> = {
  'of one event': { ends: every(1), most: 400 },
  'of 53 events': { ends: every(53), most: Number.POSITIVE_INFINITY },
  'that end with a call': { ends: afterCalls, most: 400 },
};
/** Drawing a page takes long: one of each kind of driver. */
const PAGES: ReadonlySet<string> = new Set([
  'dpdk/e1000e.vtape',
  'lyon2010/nvme.vtape',
  'qemu/nested-kvm.vtape',
]);
/** So much later a thread's events are written. */
const LATE = 40;
const LATE_MOST = 1000;

/** Of two long texts that differ, where they begin to. */
function assertSame(actual: string, expected: string): void {
  if (actual === expected) return;
  let at = 0;
  while (actual[at] === expected[at]) at++;
  const line = expected.slice(0, at).split('\n').length;
  const part = (text: string): string => text.slice(Math.max(0, at - 300), at + 300);
  assert.equal(part(actual), part(expected), `from line ${line} on`);
}

/** `whole` is there when the tests run. */
function testCuts(name: string, whole: string, events: number, cuts = Object.keys(CUTS)): void {
  const told = new Map<Teller, Promise<string>>();
  const toldOfWhole = (tell: Teller): Promise<string> => {
    const text = told.get(tell) ?? tell(whole);
    told.set(tell, text);
    return text;
  };
  for (const [how, { ends, most }] of Object.entries(CUTS)) {
    if (events > most || !cuts.includes(how)) continue;
    describe(`${name} in chunks ${how}`, () => {
      const path = join(directory, name, how, 'cut.vtape');
      test('is cut', async () => {
        mkdirSync(join(path, '..'), { recursive: true });
        // Of so small a chunk nothing gets smaller; and what is not compressed lies in the reader's own buffer.
        await recut(whole, path, ends, { codec: how === 'of one event' ? 'none' : 'deflate' });
      });
      const tellers = how === 'of 53 events' && PAGES.has(name) ? { ...TELLERS, report: page } : TELLERS;
      for (const [what, tell] of Object.entries(tellers))
        test(what, async () => {
          const [cut, uncut] = [await tell(path), await toldOfWhole(tell)];
          assertSame(cut.replaceAll(path, ''), uncut.replaceAll(whole, ''));
        });
      test('diff', async () => {
        const none = await difference(whole, whole);
        assertSame(await difference(whole, path), none);
        assertSame(await difference(path, path), none);
      });
    });
  }
}

/** Registers that lie where a load says: doorbells 16 bytes apart (NVMe 1.4, 3.1.1: CAP.DSTRD), of two controllers in turn. */
function farDoorbells(): RecordedSession {
  const s = new RecordedSession();
  for (const halves of [false, true]) {
    const { group, container, device } = s.openNvme();
    const bar = s.map(device, 0, 0x4000n);
    s.load(device, 0, 0x1c, 4, 0).store(device, 0, 0x14, 4, 0);
    if (halves) s.load(device, 0, 0, 4, 0x2000_03ff).load(device, 0, 4, 4, 0x22);
    else s.load(device, 0, 0, 8, 0x22_2000_03ffn);
    const eventfd = s.eventfd();
    s.setIrqs(device, { index: 2, eventfds: [eventfd] });
    s.store(device, 0, 0x14, 4, 0x0046_0001).load(device, 0, 0x1c, 4, 1);
    for (let n = 1; n < 6; n++) {
      s.store(device, 0, 0x1020, 4, n).thread(2).wake(eventfd).readEventfd(eventfd);
      s.store(device, 0, 0x1030, 4, n).thread(1);
    }
    s.unmap(bar, 0x4000n).close(device).close(group).close(container);
  }
  return s;
}

/** What no session of the corpus does: iommufd, an adapter with its errors, two devices at once, one device again and again. */
const OTHERS: Readonly<Record<string, RecordedSession>> = {
  'far doorbells': farDoorbells(),
  ...Object.fromEntries(
    Object.entries(OTHER_SESSIONS)
      .filter(([name]) => ['CDEV', 'E1000E', 'NEIGHBOUR', 'AGAIN'].includes(name))
      .map(([name, steps]) => [name, record(steps)]),
  ),
};
for (const [name, session] of Object.entries(OTHERS)) {
  const path = join(directory, `${name}.vtape`);
  test(`${name} is written`, () => session.write(path));
  testCuts(name, path, session.next, ['of one event', 'of 53 events']);
}

/** How many events each thread has: those with most of them last. */
function threadsOf(path: string): readonly (readonly [thread: number, events: number])[] {
  const trace = openTrace(path);
  const counts = new Map<number, number>();
  for (const { thread } of trace.events({ payloads: false }))
    counts.set(thread, (counts.get(thread) ?? 0) + 1);
  trace.close();
  return [...counts].sort(([, a], [, b]) => a - b);
}

for (const name of readdirSync(CORPUS, { recursive: true, encoding: 'utf8' }).sort()) {
  if (!name.endsWith('.vtape')) continue;
  const path = join(CORPUS, name);
  const threads = threadsOf(path);
  const events = threads.reduce((sum, [, count]) => sum + count, 0);
  testCuts(name, path, events);
  const [first] = threads;
  if (first === undefined || threads.length === 1 || events > LATE_MOST) continue;
  // Chunks then overlap in time.
  const late = join(directory, 'late', name);
  test(`${name} is written late`, async () => {
    mkdirSync(join(late, '..'), { recursive: true });
    await writtenLate(path, late, first[0], LATE);
  });
  testCuts(`${name}, written late,`, late, events);
}

describe('one that was never sealed', () => {
  const whole = join(CORPUS, 'dpdk/virtio-net.vtape');
  const path = join(directory, 'unsealed.vtape');
  const expected = TELLERS['dump --json']?.(whole);

  test('is read as far as it goes', async () => {
    await recut(whole, path, every(53), { sealed: false });
    assert.equal(await TELLERS['dump --json']?.(path), await expected);
  });

  test('is taken up again, and sealed', async () => {
    const { writer, resumed } = await TraceWriter.resume(path);
    const trace = openTrace(whole);
    assert.equal(resumed.events, trace.eventCount);
    assert.ok(trace.summary !== undefined);
    await writer.seal(trace.summary);
    trace.close();
    for (const what of ['dump --json', 'info', 'stats']) {
      const [taken, uncut] = [await TELLERS[what]?.(path), await TELLERS[what]?.(whole)];
      assertSame(taken?.replaceAll(path, '') ?? '', uncut?.replaceAll(whole, '') ?? '');
    }
  });
});

describe('from standard input', () => {
  const whole = join(CORPUS, 'dpdk/virtio-net.vtape');
  const path = join(directory, 'piped.vtape');
  test('is cut', () => recut(whole, path, every(53)));
  for (const words of [
    ['dump'],
    ['dump', '--json', '--from', '100', '--filter', 'kind=store'],
    ['info', '--json'],
  ])
    test(words.join(' '), () => {
      const [cut, uncut] = [path, whole].map((file) => {
        const { stdout, stderr } = spawnSync(process.execPath, [command, ...words, '-'], {
          input: readFileSync(file),
          encoding: 'utf8',
        });
        assert.equal(stderr, '');
        return stdout.replace(/^ *"(chunks|minor|size_bytes)": .*$/gm, '');
      });
      assert.notEqual(uncut, '');
      assertSame(cut ?? '', uncut ?? '');
    });
});
