// SPDX-License-Identifier: Apache-2.0
// `play`: where a driver that is another one leaves the script, and what it is given then.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { EventKind } from '../../traces/model.js';
import { openTrace } from '../../traces/reader.js';
import { vfiotape } from './harness.js';
import { eventOf, nvme, patched, record, scratch, traceOf } from './played.js';
import { BDF, LIMIT, missing, NAMESPACE } from './simulated.js';

before(() => {
  record('nvme', 'nvme', [nvme, BDF]);
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
