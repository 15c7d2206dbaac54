// SPDX-License-Identifier: Apache-2.0
/** Drivers that do something wrong, really run on the simulated kernel and recorded: what the rules make of it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { check } from '../../analyzer/check/check.js';
import { RULES } from '../../analyzer/rules/rules.js';
import { openTrace } from '../../traces/reader.js';
import { compileC, EXAMPLE_VFIO } from '../compile.js';
import { root, vfiotape } from '../end-to-end/harness.js';
import { BDF, LIMIT, sharedScratch } from '../end-to-end/simulated.js';

const scratch = sharedScratch();
const program = join(scratch, 'violations');
const SOURCES = ['driver.c', 'registers.c', 'opening.c', 'costs.c', 'orderly.c'];
compileC(program, [...SOURCES.map((file) => `test/violations/${file}`), ...EXAMPLE_VFIO], ['-O1']);

const SIGSEGV = 11;
const CARD = `generic:${join(root, 'test/violations/card.json')}`;

interface Case {
  /** As driver.c has it. */
  readonly name: string;
  readonly devices?: readonly string[];
  readonly kernel?: string;
  readonly abi?: 'lyon2010';
  /** Of the driver: 0. */
  readonly status?: number;
  /** It needs more rights than an ordinary user has: CAP_IPC_LOCK, CAP_SYS_RAWIO. */
  readonly asRoot?: true;
  /** Each must be found, with this severity. */
  readonly found: Readonly<Record<string, string>>;
  /** Each had something to judge, and nothing to say. */
  readonly passes?: readonly string[];
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
  { name: 'unread', found: { 'IRQ-007': 'warning', 'PERF-013': 'note' } },
  { name: 'closed-eventfd', found: { 'IRQ-008': 'error' } },
  { name: 'bare-line', found: { 'INTX-004': 'warning' } },
  { name: 'intx', devices: ['edu'], found: { 'INTX-001': 'error' } },
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
  {
    name: 'config-space',
    found: {
      'CFG-003': 'warning',
      'CFG-004': 'note',
      'CFG-005': 'error',
      'CFG-007': 'error',
      'CFG-008': 'note',
      'CFG-010': 'warning',
      'CFG-011': 'warning',
      'RST-005': 'note',
    },
  },
  {
    name: 'regions',
    found: { 'MSI-008': 'error', 'BAR-006': 'warning', 'BAR-007': 'error', 'BAR-010': 'note' },
  },
  {
    name: 'asleep',
    status: 128 + SIGSEGV,
    found: { 'CFG-009': 'warning', 'LIF-006': 'error', 'LIF-007': 'error', 'BAR-009': 'error' },
  },
  {
    name: 'not-reset',
    devices: ['edu'],
    found: {
      'MSI-001': 'error',
      'INTX-002': 'warning',
      'RST-001': 'error',
      'RST-002': 'warning',
      'RST-006': 'error',
      'RST-007': 'warning',
    },
  },
  {
    name: 'card',
    devices: [CARD],
    found: {
      'MSI-006': 'note',
      'MSI-007': 'warning',
      'IRQ-011': 'warning',
      'INTX-006': 'error',
      'RST-008': 'warning',
      'LIF-008': 'warning',
      'BAR-004': 'error',
    },
  },
  {
    name: 'disorder',
    found: {
      'LIF-001': 'warning',
      'LIF-002': 'warning',
      'LIF-003': 'error',
      'LIF-004': 'warning',
      'LIF-005': 'warning',
      'DMA-017': 'error',
      'BAR-001': 'note',
      'BAR-002': 'error',
      'BAR-007': 'error',
      'BAR-011': 'warning',
      'CLN-005': 'warning',
      'CLN-007': 'note',
      'CLN-008': 'warning',
    },
  },
  { name: 'no-iommu', kernel: 'iommu=none,noiommu=on', asRoot: true, found: { 'LIF-009': 'note' } },
  { name: 'no-domain', abi: 'lyon2010', found: { 'LYON-001': 'error', 'LYON-002': 'note' } },
  { name: 'locked', found: { 'DMA-004': 'error', 'DMA-008': 'error' } },
  {
    name: 'neighbours',
    devices: ['nvme', 'nvme'],
    asRoot: true,
    found: {
      'DMA-002': 'warning',
      'DMA-007': 'note',
      'DMA-014': 'warning',
      'DMA-020': 'error',
      'ERR-001': 'error',
      'REQ-001': 'note',
      'REQ-002': 'error',
    },
  },
  {
    name: 'busy',
    found: {
      'PERF-001': 'note',
      'PERF-002': 'note',
      'PERF-003': 'note',
      'PERF-004': 'note',
      'PERF-005': 'note',
      'PERF-009': 'note',
      'PERF-010': 'note',
      'PERF-011': 'note',
    },
  },
  { name: 'storm', found: { 'PERF-006': 'note', 'PERF-007': 'note', 'PERF-008': 'note' } },
  { name: 'clean-2010', abi: 'lyon2010', found: {}, passes: ['LYON-001', 'LYON-002'] },
  {
    name: 'orderly',
    found: { 'CFG-009': 'warning' },
    passes: ['MSI-008', 'REQ-002', 'LIF-006', 'LIF-007', 'DMA-002', 'DMA-020', 'CLN-007'],
  },
  { name: 'orderly-line', devices: ['edu'], found: {}, passes: ['MSI-001', 'INTX-001', 'INTX-002'] },
  { name: 'orderly-card', devices: [CARD], kernel: 'version=6.1', found: {}, passes: ['IRQ-005', 'IRQ-011'] },
  { name: 'orderly-node', found: {}, passes: ['DMA-019'] },
];

/** Which rules no driver here violates, and why: these have sessions that are built event by event, beside the rule. */
const NOT_RECORDED: Readonly<Record<string, string>> = {
  'INTX-003': 'no line is shared in the simulated machine: SET_IRQS is never EBUSY for INTx',
  'BAR-003': 'the simulated kernel is vfio-pci without a variant driver: no region has sparse areas',
  'PERF-012': 'the simulated kernel pins nothing: a mapping takes the same time whatever its size',
};

/** What the drivers leave to the kernel at their end, which is not what they are here for. */
const BESIDES = /^(CLN|BAR-010|RST-00[12])/;

test('each rule of the catalogue is violated by a driver that really runs, or it says why there is none', () => {
  const recorded = new Set(CASES.flatMap(({ found }) => Object.keys(found)));
  assert.deepEqual(
    [...recorded].filter((rule) => NOT_RECORDED[rule] !== undefined),
    [],
    'both recorded and excused',
  );
  assert.deepEqual([...recorded, ...Object.keys(NOT_RECORDED)].sort(), RULES.map(({ id }) => id).sort());
});

for (const { name, devices = ['nvme'], kernel, abi, status: ends = 0, asRoot, found, passes = [] } of CASES) {
  const skip = asRoot === true && process.geteuid?.() !== 0 ? 'only root may do what it does' : false;
  test(`${name}: ${[...Object.keys(found), ...passes.map((rule) => `not ${rule}`)].join(', ') || 'nothing'}`, {
    ...LIMIT,
    skip,
  }, () => {
    const path = join(scratch, `${name}.vtape`);
    const machine = [
      ...devices.flatMap((device) => ['--sim', device]),
      ...(kernel === undefined ? [] : ['--sim-kernel', kernel]),
      ...(abi === undefined ? [] : ['--abi', abi]),
    ];
    const { status, stderr } = vfiotape('record', '-o', path, ...machine, '--', program, name, BDF);
    assert.equal(status, ends, stderr);
    const trace = openTrace(path);
    try {
      const { verdicts } = check(trace);
      const passed = verdicts.filter(({ status }) => status === 'pass').map(({ rule }) => rule.id);
      assert.deepEqual(
        passes.filter((rule) => !passed.includes(rule)),
        [],
      );
      const findings = verdicts.flatMap((verdict) => verdict.findings);
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
