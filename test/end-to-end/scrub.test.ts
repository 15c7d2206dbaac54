// SPDX-License-Identifier: Apache-2.0
// `scrub`: nothing private is left, and the trace is still good for what one has it for.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { check } from '../../analyzer/check/check.js';
import { checkScrubbed } from '../../session/scrub/check.js';
import { scrub } from '../../session/scrub/scrub.js';
import { type Event, EventKind } from '../../traces/model.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import { root, vfiotape } from './harness.js';
import { BDF, buildExample, LIMIT, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const corpus = join(root, 'traces/corpus');
const recorded = join(scratch, 'recorded.vtape');
const scrubbed = join(scratch, 'scrubbed.vtape');
const verdicts = (trace: Trace): readonly string[] =>
  check(trace).verdicts.map(({ rule, status, findings }) => `${rule.id} ${status} ${findings.length}`);
const SECRET = 'the-name-of-a-customer';

function reading<T>(path: string, work: (trace: Trace) => T): T {
  const trace = openTrace(path);
  try {
    return work(trace);
  } finally {
    trace.close();
  }
}

before(() => {
  const home = join(scratch, SECRET);
  mkdirSync(home);
  const driver = join(home, 'driver');
  copyFileSync(buildExample('nvme', scratch), driver);
  const { status, stderr } = vfiotape(
    ...['record', '--sim', 'nvme', '--dma', 'content', '-o', recorded, '--', driver, '--irq', 'msix', BDF],
  );
  assert.equal(status, 0, stderr);
});

test('a recording with contents of memory: they go, and so do names and addresses', LIMIT, () => {
  const { status, stderr } = vfiotape('scrub', recorded, '-o', scrubbed);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^vfiotape: {3}contents of DMA memory: \d+, [\d.]+ KiB$/m);
  assert.match(stderr, /^vfiotape: {3}names, paths and arguments: \d+, /m);
  assert.match(stderr, /^vfiotape: looked for in the new trace, and not found: all of these$/m);
  assert.equal(statSync(scrubbed).mode & 0o777, 0o600);
  const eventsOf = (path: string): readonly Event[] => reading(path, (trace) => [...trace.events()]);
  const [all, kept] = [eventsOf(recorded), eventsOf(scrubbed)];
  const shape = (event: Event) => [event.number, event.kind, event.op, event.time, event.errno, event.site];
  assert.deepEqual(kept.map(shape), all.map(shape), 'the same events, at the same places');
  const moved = kept.filter(({ kind }) => kind === EventKind.DMA);
  assert.ok(moved.length > 50 && moved.every(({ value }) => value === 0n));
  assert.ok(moved.every(({ payloads }) => payloads.every(({ data }) => data.length === 0)));
  const json = vfiotape('dump', '--json', scrubbed).stdout + vfiotape('info', '--json', scrubbed).stdout;
  assert.ok(!json.includes(SECRET) && !json.includes('msix'));
  // What the kernel chose lies above; where an argument or a payload lay is said of many kinds of events.
  const high = (address: bigint): boolean => address >= 1n << 40n && address < 1n << 47n;
  const addresses = (events: readonly Event[]): readonly bigint[] =>
    events.flatMap(({ kind, value, payloads }) => [
      ...(kind === EventKind.IOCTL ? [value] : []),
      ...payloads.map(({ address }) => address),
    ]);
  assert.ok(
    addresses(all).filter(high).length > 20 &&
      addresses(all.filter(({ kind }) => kind === EventKind.SITE)).some(high),
  );
  assert.deepEqual(addresses(kept).filter(high), []);
});

test('it checks, replays and plays as before', LIMIT, () => {
  const findings = (path: string) =>
    [...vfiotape('check', path).stdout.matchAll(/^(?:error|warning|note) (\S+) {2}/gm)].map(
      ([, rule]) => rule,
    );
  assert.ok(findings(recorded).length > 0);
  assert.deepEqual(findings(scrubbed), findings(recorded));
  const { stdout, status } = vfiotape('replay', '--on', 'sim:nvme', '--json', scrubbed);
  const { counts } = JSON.parse(stdout) as { counts: Readonly<Record<string, number>> };
  // Its queues are empty: the commands were in memory.
  const diverged = Object.entries(counts).filter(([, number]) => number > 0);
  assert.ok(status === 1 && diverged.every(([kind]) => kind === 'interrupt'), stdout);
  const played = vfiotape('play', scrubbed, '--', join(scratch, 'nvme'), '--irq', 'msix', BDF);
  assert.match(played.stderr, /recorded without --dma content/);
  assert.match(played.stderr, /\d+ writes and \d+ reads as recorded, 0 bytes of DMA/);
});

test(
  'the same for the sessions of the corpus, real kernels and network cards among them',
  LIMIT,
  async () => {
    const paths = readdirSync(corpus, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.vtape'),
    );
    assert.ok(paths.length > 8);
    let identities = 0;
    for (const name of paths) {
      const trace = openTrace(join(corpus, name));
      const output = join(scratch, 'corpus.vtape');
      const report = await scrub(trace, output);
      identities += report.withheld.get('serial numbers and MAC addresses')?.count ?? 0;
      assert.deepEqual(
        reading(output, (again) => checkScrubbed(again, report)),
        [],
        name,
      );
      assert.deepEqual(reading(output, verdicts), verdicts(trace), `${name}: what the rules say`);
      // The check finds what there is to find: in the trace as it was.
      assert.notDeepEqual(checkScrubbed(trace, report), [], name);
      trace.close();
    }
    assert.ok(identities > 100, 'MAC addresses and EEPROMs');
  },
);

test('MAC addresses read as zeros, and say so', LIMIT, () => {
  const output = join(scratch, 'ethernet.vtape');
  assert.equal(vfiotape('scrub', join(corpus, 'dpdk/e1000e-no-huge.vtape'), '-o', output).status, 0);
  const lines = vfiotape('dump', '--filter', 'register=RAL[0] | register=RAH[0]', output)
    .stdout.trim()
    .split('\n');
  assert.ok(lines.length > 4);
  for (const line of lines) assert.match(line, /RA[LH]\[0\] = 0x(?:00000000|80000000 AV=1) \(withheld\)/);
});

test('what a user gets wrong', LIMIT, () => {
  for (const [words, message] of [
    [['scrub', recorded], /scrub: .*output/],
    [['scrub', recorded, '-o', recorded], /^vfiotape: scrub: -o .* is the trace itself$/m],
    [['scrub', recorded, '-o', ''], /^vfiotape: scrub: -o needs the name of a file$/m],
    [['scrub', join(scratch, 'none'), '-o', scrubbed], /none/],
    [['scrub', recorded, '-o', join(scratch, 'no/such/place')], /no\/such/],
  ] as const) {
    const { status, stderr } = vfiotape(...words);
    assert.equal(status, 2, stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
});
