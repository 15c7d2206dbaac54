// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { packageRoot } from '../package-root.js';
import * as wire from './record.js';

const headerPath = join(packageRoot(), 'abi/wire/record.h');

/** camelCase here, snake_case there. */
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const structs: readonly (readonly [string, Readonly<Record<string, number>>, number])[] = [
  ['vfiotape_record', wire.RecordField, wire.RECORD_BYTES],
  ['vfiotape_segment', wire.SegmentField, wire.SEGMENT_BYTES],
  ['vfiotape_ring_header', wire.RingField, wire.RING_HEADER_USED_BYTES],
  ['vfiotape_watch', wire.WatchField, wire.WATCH_BYTES],
  ['vfiotape_control', wire.ControlField, wire.CONTROL_BYTES],
  ['vfiotape_fd', wire.FdField, wire.FD_BYTES],
  ['vfiotape_process', wire.ProcessField, wire.PROCESS_BYTES],
];

const numbers: readonly (readonly [string, Readonly<Record<string, number>>])[] = [
  ['VFIOTAPE_', wire.RecordKind],
  ['VFIOTAPE_FLAG_', wire.RecordFlag],
  ['VFIOTAPE_DMA_', wire.Dma],
  ['VFIOTAPE_DMA_', wire.DmaHow],
  ['VFIOTAPE_LEFT_OUT_', wire.LeftOut],
  ['VFIOTAPE_DUP_', wire.Dup],
  ['VFIOTAPE_WAIT_', wire.Wait],
  ['VFIOTAPE_FORK_', wire.Fork],
  ['VFIOTAPE_LOSS_', wire.Loss],
  ['VFIOTAPE_OBJECT_', wire.ObjectKind],
  ['VFIOTAPE_SEGMENT_', wire.SegmentFlag],
  ['VFIOTAPE_ROLE_', wire.PayloadRole],
  ['VFIOTAPE_RING_', wire.RingState],
  ['VFIOTAPE_FULL_', wire.WhenFull],
  ['VFIOTAPE_CLOCK_', wire.ClockSource],
  ['VFIOTAPE_MMIO_', wire.MmioMode],
  ['VFIOTAPE_', wire.SessionState],
  [
    'VFIOTAPE_',
    {
      WIRE_VERSION: wire.WIRE_VERSION,
      RINGS_MAX: wire.RINGS_MAX,
      RING_HEADER_BYTES: wire.RING_HEADER_BYTES,
      WATCHES_MAX: wire.WATCHES_MAX,
      PAYLOAD_MAX: wire.PAYLOAD_MAX,
      FDS_MAX: wire.FDS_MAX,
    },
  ],
];

const wide: Readonly<Record<string, bigint>> = {
  VFIOTAPE_CONTROL_MAGIC: wire.CONTROL_MAGIC,
  VFIOTAPE_RING_MAGIC: wire.RING_MAGIC,
  VFIOTAPE_PROCESS_MAGIC: wire.PROCESS_MAGIC,
  VFIOTAPE_SITE_MASK: wire.SITE_MASK,
};

test('record.ts says what the compiler makes of record.h', () => {
  const claims: [string, string][] = [];
  for (const [name, fields, size] of structs) {
    claims.push([`sizeof(struct ${name})`, String(size)]);
    for (const [field, offset] of Object.entries(fields)) {
      claims.push([`__builtin_offsetof(struct ${name}, ${snake(field)})`, String(offset)]);
    }
  }
  for (const [prefix, values] of numbers) {
    for (const [name, value] of Object.entries(values)) claims.push([prefix + name, String(value)]);
  }
  for (const [name, value] of Object.entries(wide)) claims.push([name, `${value}ull`]);

  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-wire-'));
  try {
    const source = join(directory, 'wire.c');
    writeFileSync(
      source,
      [
        `#include "${headerPath}"`,
        ...claims.map(
          ([what, value]) => `_Static_assert((${what}) == (${value}), "${what} is not ${value}");`,
        ),
        '',
      ].join('\n'),
    );
    execFileSync(process.env['CC'] ?? 'cc', ['-std=gnu11', '-fsyntax-only', source], { stdio: 'pipe' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('record.ts leaves no number and no field of record.h out', () => {
  const header = readFileSync(headerPath, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const known = new Set<string>(Object.keys(wide));
  for (const [prefix, values] of numbers) for (const name of Object.keys(values)) known.add(prefix + name);
  known.add('VFIOTAPE_WIRE_RECORD_H').add('VFIOTAPE_ACCESS');
  const missing = [...new Set(header.match(/\bVFIOTAPE_[A-Z0-9_]+\b/g) ?? [])].filter(
    (name) => !known.has(name),
  );
  assert.deepEqual(missing, []);

  for (const [name, fields] of structs) {
    const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1];
    assert.ok(body, name);
    const inHeader = [...body.matchAll(/(\w+)(?:\[\w+\])?;/g)].map((match) => match[1] ?? '');
    const here = new Set(Object.keys(fields).map(snake));
    assert.deepEqual(
      inHeader.filter((field) => !/^pad\d*$/.test(field) && !here.has(field)),
      [],
      name,
    );
  }
});
