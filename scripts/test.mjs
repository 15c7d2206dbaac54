// SPDX-License-Identifier: Apache-2.0
// `npm test`: sets up, checks types, form and rooms, runs every test of dist/ and closes with the counts.
// `npm test -- PART…` runs only the files whose path contains one of the parts.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkForm, checkRooms } from './lint.mjs';
import { buildStandIn, root, say, setUp } from './setup.mjs';

/** The lab boots virtual machines; it has its own script. */
const NOT_HERE = /^dist\/test\/lab\/sessions/;

function testFiles(parts) {
  const compiled = readdirSync(join(root, 'dist'), { recursive: true }).map((name) => `dist/${name}`);
  return compiled
    .filter((name) => name.endsWith('.test.js') && !NOT_HERE.test(name))
    .filter((name) => parts.length === 0 || parts.some((part) => name.includes(part)))
    .sort();
}

function runTests(files) {
  const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-test-'));
  const counts = join(scratch, 'counts.json');
  const done = spawnSync(
    process.execPath,
    [
      '--enable-source-maps',
      '--test',
      '--test-concurrency=2',
      '--test-timeout=240000',
      '--test-reporter=./scripts/test-reporter.mjs',
      '--test-reporter-destination=stdout',
      ...files,
    ],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, VFIOTAPE_TEST_COUNTS: counts },
    },
  );
  try {
    return { status: done.status, ...JSON.parse(readFileSync(counts, 'utf8')) };
  } catch {
    return { status: done.status ?? 1, pass: 0, fail: 1, cancelled: 0, skipped: 0, todo: 0 };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const started = Date.now();
const parts = process.argv.slice(2);
const checks = [['types', setUp()]];
buildStandIn();
if (parts.length === 0) checks.push(['form', checkForm()], ['rooms', checkRooms()]);
const tests = runTests(testFiles(parts));
for (const [name, sound] of checks) process.stdout.write(`${sound ? '✔' : '✖'} ${name}\n`);

const brokenChecks = checks.filter(([, sound]) => !sound).length;
const failed = tests.fail + tests.cancelled + brokenChecks;
const passed = tests.pass + checks.length - brokenChecks;
say(`${((Date.now() - started) / 1000).toFixed(0)} s`);
process.stdout.write(
  `${passed} passed, ${failed} failed${tests.skipped > 0 ? `, ${tests.skipped} skipped` : ''}\n`,
);
process.exit(failed > 0 || tests.status !== 0 ? 1 : 0);
