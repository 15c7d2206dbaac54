// SPDX-License-Identifier: Apache-2.0
// `record --dma content` on hardware, on the stand-in: memory is compared, and each change is in the trace where it was
// found, with who made it (drivers/dma-compare.c is driver and device).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { LossCause } from '../../recorder/seal/summary.js';
import { dmaBytes } from '../../session/describe/dma.js';
import { type DmaComparison, type Event, EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { buildDriver, recordStandin, run, scratchDirectory } from './harness.js';

const scratch = scratchDirectory();
const driver = buildDriver('dma-compare');
const BOUND = 1 << 20;

/** For `record`: on a kernel that does not tell. */
const UNTRACKED = 'untracked';

const OPS = ['read', 'write', 'fill', 'held'];
const HOWS = ['', '', '?'];

interface Recorded {
  /** What was found and what the driver did, one word each: `write 101010+16`, `fill 103000+8?` (ambiguous), `store 101`, `woke`. */
  readonly story: readonly string[];
  readonly events: readonly Event[];
  readonly comparison: DmaComparison;
}

/** A filter of system calls, as a container may have one: the kernel does not tell what the process wrote. */
const REFUSE = `
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
__attribute__((constructor)) static void refuse(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
`;

function refusal(): string {
  const library = join(scratch, 'refuse.so');
  const words = ['-O1', '-shared', '-fPIC', '-o', library, '-x', 'c', '-'];
  execFileSync(process.env['CC'] ?? 'cc', words, { input: REFUSE });
  return library;
}
const refuse = refusal();

function record(subject: string, ...settings: readonly string[]): Recorded {
  const path = join(scratch, `${subject}${settings.join('')}.vtape`);
  const isRefused = settings.includes(UNTRACKED);
  const options = settings.filter((word) => word !== UNTRACKED);
  // Settings come again, and the last one counts.
  const words = [recordStandin, path, '--mmio=patch', `--dma=${BOUND}`, ...options, driver, subject];
  const env = { ...process.env, ...(isRefused && { LD_PRELOAD: refuse }) };
  const { status, stdout, stderr } = run(process.execPath, words, { env });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'done\n');
  const trace = openTrace(path);
  assert.equal(trace.header.modes.dma, 'content');
  const events = [...trace.events()];
  const comparison = trace.summary?.dmaComparisons[0];
  assert.deepEqual(trace.damages, []);
  // A handler that leaves by a jump may leave a record half written: it is counted.
  const losses = (trace.summary?.losses ?? []).filter(
    ({ cause }) => subject !== 'jumps' || cause !== LossCause.TORN,
  );
  assert.deepEqual(losses, []);
  trace.close();
  assert.ok(comparison !== undefined);
  if (isRefused) assert.equal(comparison.tracked, 0);
  return { story: events.flatMap((event) => wordsOf(event)), events, comparison };
}

function wordsOf(event: Event): readonly string[] {
  const hex = (value: bigint): string => value.toString(16);
  if (event.kind === EventKind.DMA)
    return [`${OPS[event.op & 0xff]} ${hex(event.offset)}+${event.result}${HOWS[(event.op >>> 8) & 0xff]}`];
  if (event.kind === EventKind.STORE && event.offset === 0n) return [`store ${hex(event.value)}`];
  const isCounter = event.kind === EventKind.READ && event.result === 8n;
  return isCounter || event.kind === EventKind.WAKE ? ['woke'] : [];
}

/** Whether the kernel tells which pages the process wrote: Linux 6.7 and later, where it may be asked. */
const isTracked = record('read').comparison.tracked > 0;
const untold = isTracked
  ? false
  : 'this kernel does not tell which pages a process wrote (PAGEMAP_SCAN, since Linux 6.7)';

/** The same whatever the kernel tells: what changes while the driver sleeps is the device's, what it finds when it stores is not. */
const ASLEEP = [
  'held 104028+8',
  'fill 100000+8',
  'fill 100018+8',
  'store 101',
  'write 101010+16',
  'write 102200+1024',
  'woke',
  'fill 100040+8?',
  'fill 100058+8?',
  'fill 103000+8?',
  'store 102',
  'write 103320+8',
  'write 101020+8',
  'woke',
  'store 103',
  'write 101020+8',
  'woke',
];
/** The wake-up of a poll and the read after it. */
const twice = (story: readonly string[]): readonly string[] =>
  story.flatMap((word) => (word === 'woke' ? [word, word] : [word]));
const END = 'store ffffffff';

test('what a device writes while its driver sleeps in read stands before the wake-up', () => {
  const { story, events, comparison } = record('read');
  assert.deepEqual(story, [...ASLEEP, END]);
  const values = events.filter(({ kind }) => kind === EventKind.DMA).map((event) => dmaBytes(event));
  assert.deepEqual([...(values[0] ?? [])], [0x1d, 0x4e, 0, 0, 0, 0, 0, 0]);
  assert.equal(Buffer.from(values[3] ?? []).toString('hex'), '11110000000000000100000000000080');
  assert.ok(values[4]?.every((byte) => byte === 0x5a));
  const { mapped, leftOut, comparisons, pages, skipped } = comparison;
  assert.deepEqual({ mapped, leftOut, skipped }, { mapped: 1, leftOut: [], skipped: 0 });
  assert.ok(comparisons >= 10 && pages === comparisons * 8);
});

for (const wait of ['poll', 'epoll', 'select'])
  test(`and in ${wait}`, () => assert.deepEqual(record(wait).story, [...twice(ASLEEP), END]));

test('a sleep that no device ends is no moment of comparing', () => {
  assert.ok(record('others').comparison.comparisons < 20);
});

for (const mode of ['off', 'syscalls', 'trap']) {
  test(`--mmio ${mode}: memory is read by way of the kernel, or with the watcher`, () => {
    const { story } = record('read', `--mmio=${mode}`);
    const sleeps = (words: readonly string[]): readonly string[] =>
      words.filter((word) => /^(write|woke)/.test(word));
    // Without stores it is not known what the driver had written when it rang: all else is the same.
    if (mode === 'trap') assert.deepEqual(story, [...ASLEEP, END]);
    else {
      const certain = (word: string): boolean => !word.endsWith('?');
      assert.deepEqual(sleeps(story).filter(certain), sleeps(ASLEEP).filter(certain));
    }
  });
}

test('a thread that sleeps as long as the driver does leaves it certain', () => {
  assert.deepEqual(record('sleeper').story, [...ASLEEP, END]);
});

const writes = ({ story }: Recorded): readonly string[] =>
  story.filter((word) => /^(write|store)/.test(word));
const sure = (words: readonly string[]): readonly string[] => words.filter((word) => !word.endsWith('?'));

test('where the kernel does not tell, what changes in a sleep is the device’s all the same', () => {
  assert.deepEqual(record('read', UNTRACKED).story, [...ASLEEP, END]);
});

test('beside a thread that runs, the kernel’s word counts', { skip: untold }, () => {
  const { story } = record('thread');
  const ofDevice = (word: string): boolean => !word.includes(' 104040+');
  assert.deepEqual(story.filter(ofDevice), [...ASLEEP, END]);
  for (const word of story.filter((one) => one.includes(' 104040+'))) assert.match(word, /^fill /);
});

test('without it nothing is sure but what came before the first store', () => {
  // Whether the thread wrote before the first store or not.
  const { story } = record('thread', UNTRACKED);
  assert.deepEqual(sure(story.filter((word) => word !== 'fill 104040+8')), [
    ...ASLEEP.filter((word) => /^(held|store|woke)/.test(word) || /^fill .*8$/.test(word)),
    END,
  ]);
});

test('a driver that polls memory: the device’s writes are found at the next store', { skip: untold }, () => {
  assert.deepEqual(writes(record('polled')), [
    ...['store 1', 'write 101010+16', 'write 102200+1024'],
    ...['store 2', 'write 101020+8', 'store 3', 'write 101020+8', END],
  ]);
});

test('a driver that has no descriptor left for a while is told of all the same', { skip: untold }, () => {
  const { story, comparison } = record('descriptors');
  assert.deepEqual(
    story.filter((word) => /^write/.test(word)),
    [...['write 101010+16', 'write 102200+1024'], ...['write 101020+8', 'write 101020+8']],
  );
  assert.equal(comparison.tracked, comparison.mapped);
});

test('a driver’s own userfaultfd gets the memory, and the kernel tells of the rest', { skip: untold }, () => {
  const { story, comparison } = record('registered');
  assert.ok(story.includes('write 101010+16'));
  assert.equal(comparison.tracked, comparison.mapped - 1);
});

test('of memory that was put in another’s place the kernel does not tell any more', { skip: untold }, () => {
  const { story, comparison } = record('replaced');
  assert.ok(story.some((word) => word.endsWith(' 10100000+8?')));
  assert.ok(story.includes('write 101010+16'));
  assert.equal(comparison.tracked, comparison.mapped - 1);
});

test('without the kernel’s word they are ambiguous, and a page that both write is taken for either’s', () => {
  const found = record('polled', UNTRACKED);
  assert.deepEqual(sure(writes(found)), ['store 1', 'store 2', 'store 3', END]);
  assert.deepEqual(writes(found), [
    ...['store 1', 'write 101010+16?', 'write 102200+1024?', 'write 103000+8?'],
    ...[
      'store 2',
      'write 101020+8?',
      'write 103008+8?',
      'write 103320+8?',
      'store 3',
      'write 101020+8?',
      END,
    ],
  ]);
});

for (const settings of [[], [UNTRACKED]])
  test(`what another thread writes before or after a sleep is not the device’s ${settings.join('')}`, () => {
    const found = record('writer', '--dma=8388608', ...settings);
    const ofThread = found.story.filter((word) => word.includes(' 104040+'));
    assert.ok(ofThread.length > 5);
    assert.deepEqual(sure(writes(found)), [END]);
  });

/** `echo 1 >/proc/sys/vm/nr_hugepages`, as root. */
const noHugePages = run(driver, ['probe-huge']).status === 0 ? false : 'no huge page is to be had';

test('of a huge page the kernel tells as a whole', { skip: untold === false ? noHugePages : untold }, () => {
  assert.deepEqual(writes(record('huge', '--dma=8388608')), [
    ...['store 1', 'write 101010+16?', 'write 102200+1024?', 'write 103000+8?'],
    ...['store 2', 'write 101020+8?', 'write 103008+8?', 'write 103320+8?', 'store 3', 'write 101020+8', END],
  ]);
});

test('memory that the driver takes away, seen or unseen, is not compared any more, and counted', () => {
  const { story, comparison } = record('gone');
  assert.deepEqual(
    story.filter((word) => !/ (200|300)000/.test(word)),
    [...ASLEEP, 'store 4', END],
  );
  assert.deepEqual(comparison.leftOut, [{ why: 'gone', mappings: 2, bytes: 32768 }]);
  assert.equal(comparison.mapped, 3);
});

test('a mapping beyond the bound is left out and counted, the others are compared', () => {
  const { story, comparison } = record('large');
  assert.deepEqual(story, [...ASLEEP, END]);
  assert.deepEqual(comparison.leftOut, [{ why: 'large', mappings: 1, bytes: 64 << 20 }]);
});

test('so are mappings beyond the number that is compared', () => {
  const { story, comparison } = record('many', '--dma=8388608');
  assert.deepEqual(
    story.filter((word) => word !== 'fill 10103000+8'),
    [...ASLEEP, END],
  );
  assert.ok(story.includes('fill 10103000+8'));
  assert.deepEqual(comparison.leftOut, [{ why: 'many', mappings: 9, bytes: 9 * 4096 }]);
  assert.equal(comparison.mapped, 512);
});

test('an unmap may reach to the end of all addresses, and one that only takes the address away unmaps nothing', () => {
  const fills = record('to-the-end').story.filter((word) => word.startsWith('fill 1010'));
  assert.deepEqual(
    fills.map((word) => word.replace('?', '')),
    ['fill 10100000+8'],
  );
});

test('a forked child compares nothing of its parent’s, and disturbs nothing', () => {
  const { story, events } = record('child');
  assert.deepEqual(
    story.filter((word) => word !== 'fill 104080+8'),
    [...ASLEEP, END],
  );
  const finders = events.filter(({ kind }) => kind === EventKind.DMA).map(({ thread }) => thread);
  assert.equal(new Set(finders).size, 1);
});

test('signal handlers that ring while memory is compared wait for it', () => {
  const { story, comparison } = record('signals');
  const fills = story.filter((word) => word.startsWith('fill 1040a0') || word.startsWith('write 1040a0'));
  assert.equal(fills.length, 199);
  assert.equal(comparison.skipped, 0);
});

for (const mode of ['patch', 'trap', 'syscalls']) {
  test(`--mmio ${mode}: a handler of a sent SIGSEGV, SIGBUS or SIGTRAP that leaves by siglongjmp holds up no thread`, () => {
    record('jumps', '--dma=8388608', `--mmio=${mode}`);
  });
}

test('what a device may not write, the driver wrote', () => {
  const { story } = record('read-only');
  assert.ok(story.includes('fill 101010+16') && !story.some((word) => word.startsWith('write ')));
});
