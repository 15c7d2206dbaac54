// SPDX-License-Identifier: Apache-2.0
/** Drivers that do something wrong, really run on the simulated kernel and recorded: what the rules make of it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { check } from '../../analyzer/check/check.js';
import { openTrace } from '../../traces/reader.js';
import { root, vfiotape } from '../end-to-end/harness.js';
import { BDF, LIMIT, sharedScratch } from '../end-to-end/simulated.js';

const scratch = sharedScratch();
const program = join(scratch, 'violations');
execFileSync(process.env['CC'] ?? 'cc', [
  ...['-std=gnu11', '-O1', '-g', '-Wall', '-Wextra', '-D_GNU_SOURCE', '-pthread', '-o', program],
  ...['test/violations/driver.c', 'examples/nvme/vfio.c', 'examples/nvme/lyon2010.c'].map((file) =>
    join(root, file),
  ),
]);

interface Case {
  /** Of driver.c. */
  readonly name: string;
  readonly device?: string;
  readonly kernel?: string;
  /** Each must be found, with this severity. */
  readonly found: Readonly<Record<string, string>>;
}

const CASES: readonly Case[] = [
  { name: 'clean', found: {} },
  { name: 'early-master', found: { 'DMA-001': 'note' } },
  { name: 'never-master', found: { 'DMA-003': 'warning' } },
  { name: 'own-address', found: { 'DMA-004': 'error' } },
  { name: 'torn-queues', found: { 'DMA-005': 'error' } },
  { name: 'late-stop', found: { 'DMA-002': 'warning' } },
  {
    name: 'mappings',
    found: {
      'DMA-006': 'error',
      'DMA-009': 'error',
      'DMA-010': 'error',
      'DMA-011': 'error',
      'DMA-012': 'error',
      'DMA-013': 'note',
      'DMA-017': 'error',
      'DMA-018': 'note',
    },
  },
  { name: 'freed', found: { 'DMA-015': 'error' } },
  { name: 'forked', found: { 'DMA-016': 'warning' } },
  { name: 'detached', found: { 'DMA-019': 'warning' } },
  {
    name: 'requests',
    kernel: 'version=6.1',
    found: {
      'IRQ-001': 'error',
      'IRQ-002': 'error',
      'IRQ-003': 'error',
      'IRQ-004': 'error',
      'IRQ-005': 'warning',
      'IRQ-006': 'error',
      'IRQ-009': 'note',
      'IRQ-010': 'note',
      'INTX-005': 'error',
    },
  },
  { name: 'unread', found: { 'IRQ-007': 'warning' } },
  { name: 'closed-eventfd', found: { 'IRQ-008': 'error' } },
  { name: 'bare-line', found: { 'INTX-004': 'warning' } },
  { name: 'intx', device: 'edu', found: { 'INTX-001': 'error' } },
  {
    name: 'vectors',
    found: {
      'MSI-002': 'error',
      'MSI-003': 'error',
      'MSI-004': 'error',
      'MSI-005': 'warning',
      'MSI-007': 'warning',
    },
  },
  { name: 'identity', found: { 'CFG-001': 'warning', 'CFG-002': 'warning', 'CFG-006': 'error' } },
  { name: 'registers', found: { 'BAR-005': 'warning', 'BAR-008': 'note' } },
  { name: 'reset-at-work', found: { 'RST-003': 'error', 'RST-004': 'warning', 'BAR-012': 'warning' } },
  { name: 'just-leaves', found: { 'CLN-001': 'note', 'CLN-006': 'note' } },
  { name: 'no-cleanup', found: { 'CLN-002': 'note', 'CLN-003': 'warning', 'CLN-004': 'note' } },
];

/** What the drivers leave to the kernel at their end, which is not what they are here for. */
const BESIDES = /^(CLN|BAR-010|RST-00[12])/;

for (const { name, device = 'nvme', kernel, found } of CASES) {
  test(`${name}: ${Object.keys(found).join(', ') || 'nothing'}`, LIMIT, () => {
    const path = join(scratch, `${name}.vtape`);
    const machine = ['--sim', device, ...(kernel === undefined ? [] : ['--sim-kernel', kernel])];
    const { status, stderr } = vfiotape('record', '-o', path, ...machine, '--', program, name, BDF);
    assert.equal(status, 0, stderr);
    const trace = openTrace(path);
    try {
      const findings = check(trace).verdicts.flatMap((verdict) => verdict.findings);
      const seen = findings.map(({ rule, severity }) => `${severity} ${rule}`);
      for (const [rule, severity] of Object.entries(found))
        assert.ok(seen.includes(`${severity} ${rule}`), `no ${severity} ${rule} in ${seen.join(', ')}`);
      const others = findings.filter(
        ({ rule, severity }) => severity !== 'note' && found[rule] === undefined && !BESIDES.test(rule),
      );
      assert.deepEqual(
        others.map(({ rule, message }) => `${rule} ${message}`),
        [],
      );
    } finally {
      trace.close();
    }
  });
}
