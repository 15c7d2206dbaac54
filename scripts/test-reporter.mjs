// SPDX-License-Identifier: Apache-2.0
// A line for each test file, failures in full: thousands of green lines hide a red one. Node's own closing counts
// are passed on as one line of JSON in the file that VFIOTAPE_TEST_COUNTS names.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';

/** @param {AsyncIterable<{ type: string, data: any }>} source */
export default async function* report(source) {
  const files = new Map();
  const counts = {};
  for await (const { type, data } of source) {
    if (type === 'test:pass' || type === 'test:fail') {
      const name = relative(process.cwd(), data.file ?? data.name).replace(/^dist\//, '');
      const file = files.get(name) ?? { passed: 0, failed: 0, skipped: 0, milliseconds: 0 };
      files.set(name, file);
      if (data.nesting === 0) file.milliseconds += data.details.duration_ms;
      if (data.skip !== undefined) {
        file.skipped++;
        yield `  skipped: ${name}: ${data.name}${typeof data.skip === 'string' ? `: ${data.skip}` : ''}\n`;
      } else if (type === 'test:pass') {
        file.passed++;
      } else {
        file.failed++;
        yield* failure(name, data);
      }
    } else if (type === 'test:stderr') {
      yield data.message;
    } else if (type === 'test:diagnostic') {
      const [, key, value] = /^(\w+) (\d+)/.exec(data.message) ?? [];
      if (key !== undefined && data.nesting === 0) counts[key] = Number(value);
    }
  }
  for (const [name, { passed, failed, skipped, milliseconds }] of [...files].sort()) {
    const outcome = [
      `${passed} passed`,
      failed > 0 && `${failed} FAILED`,
      skipped > 0 && `${skipped} skipped`,
    ];
    yield `${failed > 0 ? '✖' : '✔'} ${name}: ${outcome.filter(Boolean).join(', ')} (${(milliseconds / 1000).toFixed(1)} s)\n`;
  }
  if (process.env.VFIOTAPE_TEST_COUNTS !== undefined) {
    writeFileSync(process.env.VFIOTAPE_TEST_COUNTS, JSON.stringify(counts));
  }
}

function* failure(name, data) {
  const error = data.details.error;
  const cause = error?.cause ?? error;
  // A suite fails only because a test in it did, which has been told.
  if (error?.failureType === 'subtestsFailed') return;
  yield `\n✖ ${name}: ${data.name}\n${String(cause?.stack ?? cause?.message ?? cause).replace(/^/gm, '    ')}\n\n`;
}
