// SPDX-License-Identifier: Apache-2.0
/**
 * Real sessions, recorded in the lab, still read as they did. Beside each NAME.vtape of traces/corpus are the text that
 * `dump` prints of it and what `info` says. VFIOTAPE_UPDATE=1 writes both anew: look at the difference before you commit it.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { describeLosses } from '../../cli/losses.js';
import { dump } from '../../session/describe/dump.js';
import { takeOverview } from '../../session/overview/overview.js';
import { overviewText } from '../../session/overview/text.js';
import { openTrace, type Trace } from '../../traces/reader.js';

const corpus = join(packageRoot(), 'traces/corpus');
/** Everyone who clones the project carries it. */
const MOST_BYTES = 3 << 20;

const names = readdirSync(corpus, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.vtape'))
  .sort();

function golden(name: string, actual: string): void {
  const path = join(corpus, name);
  if (process.env['VFIOTAPE_UPDATE'] === '1') writeFileSync(path, actual);
  assert.ok(existsSync(path), `${name} is missing; VFIOTAPE_UPDATE=1 npm test -- test/corpus writes it`);
  assert.equal(
    actual,
    readFileSync(path, 'utf8'),
    `${name} differs; VFIOTAPE_UPDATE=1 npm test -- test/corpus rewrites it`,
  );
}

function withTrace<T>(name: string, use: (trace: Trace) => T): T {
  const trace = openTrace(join(corpus, name));
  try {
    return use(trace);
  } finally {
    trace.close();
  }
}

test('the corpus holds sessions of each kind of driver, and is small', () => {
  for (const driver of ['dpdk', 'edu', 'qemu']) {
    assert.ok(
      names.some((name) => name.startsWith(`${driver}/`)),
      `no session of ${driver}`,
    );
  }
  const files = readdirSync(corpus, { recursive: true }).map((name) => statSync(join(corpus, String(name))));
  const bytes = files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
  assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
});

for (const name of names) {
  const base = name.replace(/\.vtape$/, '');
  test(`${base}: how it was recorded is told`, () => {
    assert.match(readFileSync(join(corpus, `${base}.md`), 'utf8'), /^- command: /m);
  });
  test(`${base}: dumps as expected, undamaged`, () => {
    withTrace(name, (trace) => {
      const text = [
        ...dump(trace, { filter: undefined, from: 0, to: Number.MAX_SAFE_INTEGER, json: false }),
      ].join('');
      assert.deepEqual(trace.damages, []);
      golden(`${base}.txt`, text);
    });
  });
  test(`${base}: info as expected`, () => {
    withTrace(name, (trace) =>
      golden(
        `${base}.info.txt`,
        overviewText(
          trace,
          takeOverview(trace, (loss) => describeLosses([loss])),
        ).replaceAll(packageRoot(), ''),
      ),
    );
  });
}
