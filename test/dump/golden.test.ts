// SPDX-License-Identifier: Apache-2.0
/**
 * Sessions written by hand, dumped, and compared with the text beside this file. VFIOTAPE_UPDATE=1 writes that
 * text anew: look at the difference before you commit it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { describeLosses } from '../../cli/losses.js';
import { dump } from '../../session/describe/dump.js';
import { compileFilter } from '../../session/filter/compile.js';
import { takeOverview } from '../../session/overview/overview.js';
import { overviewText } from '../../session/overview/text.js';
import { openTrace, type Trace } from '../../traces/reader.js';
import type { SyntheticSession } from '../synthetic/builder.js';
import { hostileSession } from '../synthetic/hostile.js';
import { iommufdSession } from '../synthetic/iommufd.js';
import { lyonSession } from '../synthetic/lyon2010.js';
import { nvmeSession } from '../synthetic/nvme.js';
import { SUMMARY, writeSession } from '../synthetic/write.js';

const SESSIONS: Readonly<Record<string, () => SyntheticSession>> = {
  nvme: nvmeSession,
  iommufd: iommufdSession,
  lyon2010: lyonSession,
  hostile: hostileSession,
};

const directory = mkdtempSync(join(tmpdir(), 'vfiotape-dump-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function traceOf(name: string): Promise<Trace> {
  const path = join(directory, `${name}.vtape`);
  await writeSession(path, (SESSIONS[name] as () => SyntheticSession)(), SUMMARY);
  return openTrace(path);
}

function dumped(
  trace: Trace,
  options: { filter?: string; from?: number; to?: number; json?: boolean } = {},
): string {
  const { filter, from = 0, to = Number.MAX_SAFE_INTEGER, json = false } = options;
  return [
    ...dump(trace, { filter: filter === undefined ? undefined : compileFilter(filter), from, to, json }),
  ].join('');
}

function golden(name: string, actual: string): void {
  const path = join(packageRoot(), 'test/dump', name);
  if (process.env['VFIOTAPE_UPDATE'] === '1') writeFileSync(path, actual);
  assert.equal(
    actual,
    readFileSync(path, 'utf8'),
    `${name} differs; VFIOTAPE_UPDATE=1 npm test -- test/dump rewrites it`,
  );
}

for (const name of Object.keys(SESSIONS)) {
  test(`${name}: dump`, async () => {
    const trace = await traceOf(name);
    const text = dumped(trace);
    golden(`${name}.txt`, text);
    assert.equal(text.split('\n').length - 1, trace.eventCount, 'one line an event');
    assert.doesNotMatch(text, /[^\P{Cc}\n]/u);
  });

  test(`${name}: dump --json`, async () => {
    const trace = await traceOf(name);
    const text = dumped(trace, { json: true });
    golden(`${name}.jsonl`, text);
    for (const line of text.trimEnd().split('\n')) {
      const event = JSON.parse(line) as Record<string, unknown>;
      assert.equal(typeof event['number'], 'number');
      assert.match(event['value'] as string, /^0x[0-9a-f]{1,16}$/);
    }
  });

  test(`${name}: info`, async () => {
    const trace = await traceOf(name);
    const text = overviewText(
      trace,
      takeOverview(trace, (loss) => describeLosses([loss])),
    ).replaceAll(directory, '');
    // What the codec makes of the bytes is zlib's affair.
    golden(
      `${name}.info.txt`,
      text.replace(/^( {2}size .*)$/m, (line) => line.replace(/[\d.]+ (bytes|kB)/g, 'N $1')),
    );
    assert.doesNotMatch(text, /[^\P{Cc}\n]/u);
  });
}

test('a window shows the same lines as the whole', async () => {
  for (const name of Object.keys(SESSIONS)) {
    const trace = await traceOf(name);
    const lines = dumped(trace).split('\n');
    for (const [from, to] of [
      [0, 1],
      [16, 20],
      [lines.length - 2, lines.length + 5],
    ] as const) {
      assert.equal(
        dumped(trace, { from, to }),
        lines
          .slice(from, Math.min(to, lines.length - 1))
          .map((line) => `${line}\n`)
          .join(''),
      );
    }
  }
});

test('a filter shows those lines of the whole that fit', async () => {
  const trace = await traceOf('nvme');
  const lines = dumped(trace).trimEnd().split('\n');
  const having = (part: RegExp) =>
    lines
      .filter((line) => part.test(line))
      .map((line) => `${line}\n`)
      .join('');
  assert.equal(dumped(trace, { filter: 'kind=load | kind=store' }), having(/ (load|store) BAR/));
  assert.equal(dumped(trace, { filter: 'errno=EINVAL' }), having(/= -1 EINVAL/));
  assert.equal(dumped(trace, { filter: 'op=VFIO_IOMMU_MAP_DMA' }), having(/ VFIO_IOMMU_MAP_DMA /));
  assert.equal(dumped(trace, { filter: 'register~PCIe.DevCtl' }), having(/PCIe\.DevCtl/));
  assert.equal(dumped(trace, { filter: 'interrupt~MSIX[0]' }), having(/MSIX\[0\]/));
  assert.equal(
    dumped(trace, { filter: 'region=config & offset>=0x100 & offset<0x200' }),
    having(/config\+0x1/),
  );
  assert.equal(dumped(trace, { filter: 'object=device & text~"SET_IRQS"' }), having(/SET_IRQS/));
  assert.equal(dumped(trace, { filter: 'thread=completion' }), having(/ 4711\/4712 /));
  assert.equal(dumped(trace, { filter: 'site~0x2000' }), having(/@driver\+0x2000/));
  assert.equal(dumped(trace, { filter: 'duration>1ms' }), having(/<[\d.]+ms>/));
});
