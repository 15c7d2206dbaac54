// SPDX-License-Identifier: Apache-2.0
// `play`: a recorded device is given back to the unmodified driver, and to one that is not.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { root, vfiotape } from './harness.js';
import { BDF, buildExample, LIMIT, missing, NAMESPACE, sharedScratch } from './simulated.js';

const scratch = sharedScratch();
const nvme = buildExample('nvme', scratch);
const edu = buildExample('edu', scratch);
const traceOf = (name: string): string => join(scratch, `${name}.vtape`);

function record(name: string, device: string, driver: readonly string[]): string {
  const { status, stdout, stderr } = vfiotape(
    ...['record', '--sim', device, '--dma', 'content', '-o', traceOf(name), '--', ...driver],
  );
  assert.equal(status, 0, stderr);
  assert.match(stderr, /nothing lost/);
  return stdout;
}

/** Without what qemu-io says of its speed. */
const untimed = (text: string): string => text.replaceAll(/^.* ops; .*$/gm, '');

interface Case {
  readonly title: string;
  readonly device: string;
  readonly driver: readonly string[];
}

const CASES: readonly Case[] = [
  { title: 'nvme-polled', device: 'nvme', driver: [nvme, BDF] },
  { title: 'nvme-msix', device: 'nvme', driver: [nvme, '--irq', 'msix', BDF] },
  { title: 'nvme-cdev', device: 'nvme', driver: [nvme, '--cdev', '--irq', 'msix', BDF] },
  { title: 'edu-group', device: 'edu', driver: [edu, BDF] },
  { title: 'edu-cdev', device: 'edu', driver: [edu, '--cdev', BDF] },
  { title: 'edu-elsewhere', device: 'edu:bdf=0000:03:00.0', driver: [edu, '0000:03:00.0'] },
  { title: 'qemu-img-info', device: 'nvme', driver: ['qemu-img', 'info', NAMESPACE] },
  {
    title: 'qemu-io-read',
    device: 'nvme',
    driver: [
      'qemu-io',
      '-f',
      'raw',
      '-c',
      'write -P 7 64k 4k',
      '-c',
      'read -v 64k 4k',
      '-c',
      'read 128k 256k',
      NAMESPACE,
    ],
  },
];

for (const { title, device, driver } of CASES) {
  const skip = driver[0]?.startsWith('qemu') === true && missing(driver[0]);
  test(`${title}: the unmodified driver prints the same without its device`, { ...LIMIT, skip }, () => {
    const recorded = record(title, device, driver);
    const played = vfiotape('play', traceOf(title), '--', ...driver);
    assert.equal(played.status, 0, played.stderr);
    assert.equal(untimed(played.stdout), untimed(recorded));
    assert.match(played.stderr, /^vfiotape: played .* [1-9]\d* bytes of DMA, .*, no departure\n$/);
  });
}

/** The first event that fits, by its line in dump. */
function eventOf(name: string, filter: string): string {
  const { stdout } = vfiotape('dump', '--filter', filter, traceOf(name));
  return /^\s*(\d+)/.exec(stdout)?.[1] ?? 'none';
}

before(() => {
  for (const name of ['nvme', 'edu'] as const) record(name, name, [name === 'nvme' ? nvme : edu, BDF]);
});

test('a driver of another command line is stopped where it asks for interrupts', LIMIT, () => {
  const played = vfiotape('play', traceOf('nvme'), '--', nvme, '--irq', 'msix', BDF);
  assert.equal(played.status, 1);
  const event = eventOf('nvme', 'register=Command & op=write');
  assert.match(
    played.stderr,
    new RegExp(`left the script at event ${event}: something else was recorded here\\n`),
  );
  assert.match(
    played.stderr,
    /expected {2}device0 0000:00:04\.0 {2}write config\+0x4 Command = .*@nvme!vfio_set_bus_master/,
  );
  assert.match(
    played.stderr,
    /got {7}VFIO_DEVICE_SET_IRQS index=2 start=0 .*@nvme!(vfio_set_msix|set_irqs)\+0x\w+ \(vfio\.c:\d+/,
  );
});

test('one that reads another block is stopped at the command that the device fetches', {
  ...LIMIT,
  skip: missing('qemu-io'),
}, () => {
  const words = (block: string): string[] => ['qemu-io', '-f', 'raw', '-c', `read ${block} 4k`, NAMESPACE];
  record('block', 'nvme', words('0'));
  const played = vfiotape('play', traceOf('block'), '--', ...words('8k'));
  assert.equal(played.status, 1);
  const trace = openTrace(traceOf('block'));
  const fetches = [...trace.events({ kinds: [EventKind.DMA] })].filter(
    ({ kind, op, result }) => kind === EventKind.DMA && op === 0 && result === 64n,
  );
  trace.close();
  // SLBA, at byte 40 of the command.
  assert.match(
    played.stderr,
    new RegExp(`at event ${fetches.at(-1)?.number}: the device finds other memory`),
  );
  assert.match(played.stderr, /got {7}memory at 0x[0-9a-f]+28 holds 10000000/);
});

/** A driver with some lines changed. */
function patched(name: string, ...changes: readonly (readonly [from: string, to: string])[]): string {
  const sources = join(scratch, name, 'examples', 'nvme');
  cpSync(join(root, 'examples', 'nvme'), sources, { recursive: true });
  symlinkSync(join(root, 'abi'), join(scratch, name, 'abi'));
  let text = readFileSync(join(sources, 'nvme.c'), 'utf8');
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), from);
    text = text.replace(from, to);
  }
  writeFileSync(join(sources, 'nvme.c'), text);
  const out = join(scratch, name);
  execFileSync('make', ['-s', '-C', sources, `OUT=${out}`]);
  return join(out, 'nvme');
}

test('a changed driver is stopped at the event that it changed', LIMIT, () => {
  const other = patched('value', [
    'store(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1))',
    'store(NVME_AQA, 5 << 16 | 5)',
  ]);
  const played = vfiotape('play', traceOf('nvme'), '--', other, BDF);
  assert.equal(played.status, 1);
  const event = eventOf('nvme', 'register=AQA & kind=store');
  assert.match(
    played.stderr,
    new RegExp(`at event ${event}: another value\\n.*expected .*AQA.*nvme\\.c:\\d+`),
  );
  assert.match(played.stderr, /got {7}store BAR0\+0x24 AQA = 0x00050005.*@nvme!.*nvme\.c:\d+/);

  const left = patched('left', ['store(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));', '']);
  const without = vfiotape('play', traceOf('nvme'), '--', left, BDF);
  assert.equal(without.status, 1);
  assert.match(without.stderr, new RegExp(`at event ${event}: something else was recorded here`));
  assert.match(without.stderr, /got {7}store BAR0\+0x28 ASQ = /);

  const silent = patched('silent', [
    'vfio_set_bus_master(&nvme.vfio, true)',
    'vfio_set_bus_master(&nvme.vfio, false)',
  ]);
  const config = vfiotape('play', traceOf('nvme'), '--', silent, BDF);
  assert.equal(config.status, 1);
  assert.match(
    config.stderr,
    /got {7}write config\+0x4 Command = 0x0\w+ .*@nvme!vfio_set_bus_master\+0x\w+ \(vfio\.c:\d+/,
  );
});

test('--keep-going answers by what is known, and lists every place', LIMIT, () => {
  const other = join(scratch, 'value', 'nvme');
  const played = vfiotape('play', traceOf('nvme'), '--keep-going', '--', other, BDF);
  assert.equal(played.status, 1);
  assert.match(played.stdout, /^data: 16384 bytes written/m);
  assert.match(played.stderr, /, 1 departure\n/);

  const masks = join(scratch, 'masks');
  writeFileSync(masks, 'BAR0 AQA\n');
  const masked = vfiotape('play', traceOf('nvme'), '--mask', masks, '--', other, BDF);
  assert.equal(masked.status, 0, masked.stderr);
});

/** It waits as long as it takes. */
const PATIENT = [
  ['nvme.timeout_ms = 500 * ((uint32_t)(capabilities >> 24) & 0xff) + 500;', 'nvme.timeout_ms = 1u << 30;'],
  ['#define COMMAND_TIMEOUT_MS 30000', '#define COMMAND_TIMEOUT_MS 1000000000'],
] as const;

test(
  'a driver that waits for what its missing store would bring is stopped there, or given it',
  LIMIT,
  () => {
    const driver = patched('unstarted', ...PATIENT, ['store(NVME_CC, CC_QUEUE_ENTRIES | CC_ENABLE);', '']);
    const stopped = vfiotape('play', traceOf('nvme'), '--', driver, BDF);
    assert.equal(stopped.status, 1);
    assert.match(
      stopped.stderr,
      /: the driver waits for what was not recorded here\n.*expected {2}device0 .*store BAR0\+0x14 CC = 0x00460001 .*\n.*got {7}load BAR0\+0x1c CSTS = 0x00000000.*, after [\d,]+ reads in 1\d\.\d s that found nothing new {2}@nvme!/,
    );
    const given = vfiotape('play', traceOf('nvme'), '--keep-going', '--', driver, BDF);
    assert.match(given.stdout, /^data: 16384 bytes written/m, given.stderr);
    assert.match(given.stderr, /, 1 departure\n.*the driver waits for what was not recorded here\n/);
    assert.equal(given.status, 1);
  },
);

test(
  'with --keep-going an interrupt that is waited for comes, and a driver that waits for nothing ends',
  LIMIT,
  () => {
    record('irq', 'nvme', [nvme, '--irq', 'msix', BDF]);
    const dumb = patched('dumb', ...PATIENT, [
      'store(doorbell(queue, false), queue->tail);',
      'if (queue->tail != 3) store(doorbell(queue, false), queue->tail);',
    ]);
    const given = vfiotape('play', traceOf('irq'), '--keep-going', '--', dumb, '--irq', 'msix', BDF);
    assert.match(given.stdout, /^data: 16384 bytes written/m, given.stderr);
    assert.match(
      given.stderr,
      /: the driver waits .*\n.*expected .*SQ\d+TDBL.*\n.*got {7}nothing for \d+\.\d s/,
    );

    const endless = patched('endless', ...PATIENT, [
      'return wait_status(CSTS_READY, 0) && vfio_set_bus_master',
      'return wait_status(0x10, 0x10) && vfio_set_bus_master',
    ]);
    const ended = vfiotape('play', traceOf('nvme'), '--keep-going', '--', endless, BDF);
    assert.equal(ended.status, 1);
    assert.match(ended.stderr, /the driver waits for what was not recorded here\n/);
  },
);

test('a driver that does less is told what did not come', LIMIT, () => {
  const played = vfiotape('play', traceOf('edu'), '--', 'true');
  assert.equal(played.status, 1);
  assert.match(
    played.stderr,
    /: the driver ended before it\n.*expected {2}device0 .*\n.*got .* recorded writes did not come\n/,
  );
});

test('run and record take a trace for a device, and give the driver’s own status', LIMIT, () => {
  const run = vfiotape('run', '--sim', traceOf('edu'), '--', edu, BDF);
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stderr, /^vfiotape: played .*, no departure\n$/);

  const again = join(scratch, 'again.vtape');
  const words = [
    '--sim',
    `${traceOf('edu')}:bdf=0000:07:00.0`,
    '--sim',
    'nvme',
    '--dma',
    'content',
    '-o',
    again,
  ];
  const record = vfiotape('record', ...words, '--', edu, '0000:07:00.0');
  assert.equal(record.status, 0, record.stderr);
  assert.match(record.stderr, /no departure/);
  const played = vfiotape('play', again, '--', edu, '0000:07:00.0');
  assert.equal(played.status, 0, played.stderr);

  const other = vfiotape('run', '--sim', traceOf('edu'), '--', 'true');
  assert.equal(other.status, 0);
  assert.match(other.stderr, /1 departure\n/);
});

test('without DMA content it says what can’t be played', LIMIT, () => {
  const plain = traceOf('plain');
  assert.equal(vfiotape('record', '--sim', 'edu', '-o', plain, '--', edu, BDF).status, 0);
  const played = vfiotape('play', plain, '--', 'true');
  assert.match(
    played.stderr,
    /recorded without --dma content: registers and interrupts are played, not what the device wrote into memory\n/,
  );
});

test(
  'a recording of a real kernel plays registers and interrupts, until the driver looks at its memory',
  LIMIT,
  () => {
    const recorded = join(root, 'traces/corpus/edu/group.vtape');
    const played = vfiotape('play', recorded, '--', edu, '0000:00:0a.0');
    assert.equal(played.status, 1);
    assert.match(
      played.stdout,
      /^interrupt of factorial: status 0x1, 1 time\(s\)\nfactorial of 10: 3628800$/m,
    );
    assert.match(played.stdout, /^interrupt of DMA from the device: status 0x100, 1 time\(s\)$/m);
    assert.match(played.stderr, /^edu: cannot get back what was sent/m);
    assert.match(played.stderr, / 0 bytes of DMA, 4 interrupts, 1 departure\n.*the driver ended before it\n/);
  },
);

/** Recorded in the lab, on a real kernel, with what was in memory; played where there is no such device. */
const ofReal = (name: string): string => join(root, `traces/corpus/${name}.vtape`);
const LAB_BDF = '0000:00:03.0';
const LAB_DISK = `nvme://${LAB_BDF}/1`;

test(
  'a session on a real kernel is played to the unmodified driver: writes, reads and interrupts',
  LIMIT,
  () => {
    const trace = ofReal('example/nvme-content');
    const { status, stdout, stderr } = vfiotape('play', trace, '--', nvme, '--irq', 'msix', LAB_BDF);
    assert.equal(status, 0, stderr);
    // On a busy machine it may have got one that it did not wait for any more.
    assert.match(stdout, /^interrupts: (1[3-9]|[2-9]\d)$/m);
    assert.match(
      stdout,
      /^data: 16384 bytes written, flushed, read back and equal; the old blocks are there again$/m,
    );
    assert.match(stderr, / interrupts, no departure\n$/);
  },
);

test('and a driver that was changed is stopped at the command that is another one', LIMIT, () => {
  const other = patched('namespace', ['{ .opcode = FLUSH, .nsid = 1 }', '{ .opcode = FLUSH, .nsid = 2 }']);
  const trace = ofReal('example/nvme-content');
  const { status, stderr } = vfiotape('play', trace, '--', other, '--irq', 'msix', LAB_BDF);
  assert.equal(status, 1);
  assert.match(stderr, /the device finds other memory than it found\n.*expected .*dma-fill 0x/);
});

test('qemu-img info of a real kernel’s drive', { ...LIMIT, skip: missing('qemu-img') }, () => {
  const trace = ofReal('qemu/img-info-content');
  const { status, stdout, stderr } = vfiotape('play', trace, '--', 'qemu-img', 'info', LAB_DISK);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^virtual size: 64 MiB \(67108864 bytes\)$/m);
  assert.match(stderr, /, no departure\n$/);
});

test('qemu-io read of its blocks, and of another', { ...LIMIT, skip: missing('qemu-io') }, () => {
  const trace = ofReal('qemu/io-content');
  const read = (first: string): string[] => [
    ...['qemu-io', '-f', 'raw', '-c', `read -v ${first} 8k`, '-c', 'read -v 1M 512', LAB_DISK],
  ];
  const same = vfiotape('play', trace, '--', ...read('0'));
  assert.equal(same.status, 0, same.stderr);
  assert.match(same.stdout, /^00000000: {2}b8 c0 07 8e d8 31 c0 8e /m, 'the lab’s boot sector');
  assert.match(same.stdout, /^000001f0: .* 55 aa /m);
  assert.match(same.stdout, /^read 8192\/8192 bytes at offset 0$/m);
  const other = vfiotape('play', trace, '--', ...read('64k'));
  assert.equal(other.status, 1);
  // SLBA, at byte 40 of the command.
  assert.match(other.stderr, /the device finds other memory than it found\n/);
  assert.match(other.stderr, /got {7}memory at 0x[0-9a-f]+28 holds 80000000/);
});

const MISTAKES: readonly (readonly [readonly string[], RegExp])[] = [
  [[], /play: too few arguments; usage: vfiotape play TRACE/],
  [['a.vtape'], /play: too few arguments/],
  [['-', '--', 'true'], /play: standard input is the driver’s; name a file/],
  [['/nonexistent.vtape', '--', 'true'], /\/nonexistent\.vtape: can't be opened/],
  [['/dev/null', '--', 'true'], /\/dev\/null/],
  [['TRACE', '--mask', '/nonexistent', '--', 'true'], /--mask \/nonexistent can't be read/],
  [['TRACE', '--mask', 'TRACE', '--', 'true'], /is no mask/],
  [['TRACE', '--sim-kernel', 'iommu=arm', '--', 'true'], /should be one of intel/],
  [['TRACE', '--', 'vfiotape-no-such-driver'], /no driver named/],
  [['TRACE', '--speed', '2', '--', 'true'], /unknown argument: speed/],
];

for (const [words, expected] of MISTAKES) {
  test(`play ${words.join(' ')}: one line, and status 2`, LIMIT, () => {
    const { status, stderr } = vfiotape(
      'play',
      ...words.map((word) => (word === 'TRACE' ? traceOf('edu') : word)),
    );
    assert.equal(status, 2, stderr);
    assert.match(stderr, expected);
    assert.match(stderr, /^vfiotape: [^\n]*\n$/);
  });
}
