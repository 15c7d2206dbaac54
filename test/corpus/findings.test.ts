// SPDX-License-Identifier: Apache-2.0
/**
 * What the rules say of real drivers. findings.txt holds it finding by finding; docs/findings.md judges each kind of
 * finding of each driver, and must have a line for what is found and none for what is not.
 * VFIOTAPE_UPDATE=1 rewrites findings.txt: look at the difference, decode the events, then judge it in the table.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../abi/package-root.js';
import { check } from '../../analyzer/check/check.js';
import type { Finding } from '../../analyzer/check/finding.js';
import { openTrace } from '../../traces/reader.js';

const corpus = join(packageRoot(), 'traces/corpus');
const golden = join(packageRoot(), 'test/corpus/findings.txt');
const table = join(packageRoot(), 'docs/findings.md');

/** Sessions whose findings were judged, by the driver as the table calls it. */
const DRIVERS: readonly (readonly [sessions: RegExp, driver: string])[] = [
  [/^qemu\/(img-(info|bench|convert)|io)(-content)?$/, 'QEMU nvme'],
  [/^qemu\/nested(-kvm)?$/, 'QEMU vfio-pci'],
  [/^dpdk\/e1000e(-no-huge)?$/, 'DPDK e1000e'],
  [/^dpdk\/virtio-net$/, 'DPDK virtio-net'],
  [/^edu\/(cdev|group)$/, 'examples/edu'],
  [/^(example|lyon2010)\/nvme(-content)?$/, 'examples/nvme'],
  [/^qemu\/blkio-io$/, 'libblkio'],
];

const sessions = readdirSync(corpus, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.vtape'))
  .map((name) => name.replace(/\.vtape$/, ''))
  .sort();

const driverOf = (session: string): string | undefined =>
  DRIVERS.find(([pattern]) => pattern.test(session))?.[1];

/** What else the rules of performance say depends on the machine that ran it. */
const isJudged = ({ rule }: Finding): boolean => !rule.startsWith('PERF-');

function findingsOf(session: string): readonly Finding[] {
  const trace = openTrace(join(corpus, `${session}.vtape`));
  try {
    return check(trace)
      .verdicts.flatMap(({ findings }) => findings)
      .filter(isJudged);
  } finally {
    trace.close();
  }
}

function line({ severity, rule, object, key, count, evidence }: Finding): string {
  const times = count === 1 ? '' : ` x${count}`;
  return `  ${severity} ${rule} ${object}: ${key}${times} @${evidence.map(({ event }) => event).join(',')}\n`;
}

/** As the table has it: `| driver | rule | severity | finding |`. */
const row = (driver: string, { rule, severity, key }: Finding): string =>
  `${driver} | ${rule} | ${severity} | ${key}`;

const judged = sessions.filter((session) => driverOf(session) !== undefined);
const found = new Map(judged.map((session) => [session, findingsOf(session)]));

test('the findings of real drivers are those that were judged', () => {
  const text = judged
    .map((session) => `${session}\n${(found.get(session) ?? []).map(line).join('')}`)
    .join('');
  if (process.env['VFIOTAPE_UPDATE'] === '1') writeFileSync(golden, text);
  assert.ok(existsSync(golden));
  assert.equal(text, readFileSync(golden, 'utf8'));
});

test('docs/findings.md has a line for each, and for nothing else', () => {
  const there = new Set(
    judged.flatMap((session) =>
      (found.get(session) ?? []).map((finding) => row(driverOf(session) as string, finding)),
    ),
  );
  const told = readFileSync(table, 'utf8')
    .split('\n')
    .flatMap((text) => {
      const cells = text.split('|').map((cell) => cell.trim().replaceAll('`', ''));
      const [, driver = '', rule = '', severity = '', key = ''] = cells;
      return /^[A-Z]+-\d{3}$/.test(rule) ? [[driver, rule, severity, key].join(' | ')] : [];
    });
  assert.deepEqual([...told].sort(), [...there].sort());
});

test('no error is said of a driver that others wrote', () => {
  for (const [session, findings] of found) {
    if (session.startsWith('edu/')) continue;
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'error'),
      [],
      session,
    );
  }
});

test('every session has a driver whose findings are judged', () => {
  assert.deepEqual(
    sessions.filter((session) => driverOf(session) === undefined),
    [],
  );
});
