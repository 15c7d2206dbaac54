// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mapFlags, protection } from './linux/memory.js';
import { openFlags } from './linux/open.js';
import { signalCode, signalName } from './linux/signals.js';
import { escapeText, hex, hexBytes, size, textOf } from './text.js';

test('numbers are exact', () => {
  assert.equal(hex(0n), '0x0');
  assert.equal(hex((1n << 64n) - 1n), '0xffffffffffffffff');
  assert.equal(hex(-1n), '-0x1');
  assert.equal(hex(2 ** 53 - 1), '0x1fffffffffffff');
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (value) => BigInt(hex(value)) === value),
  );
});

test('sizes lose nothing', () => {
  assert.equal(size(0), '0');
  assert.equal(size(4096), '4K');
  assert.equal(size(1n << 63n), '8388608T');
  assert.equal(size(4097), '4097');
  assert.equal(size((1n << 64n) - 1n), '0xffffffffffffffff');
});

test('bytes are cut with the rest counted', () => {
  assert.equal(hexBytes(new Uint8Array([1, 0xff]), 2), '01ff');
  assert.equal(hexBytes(new Uint8Array([1, 0xff, 3]), 2), '01ff…+1');
});

test('foreign text can neither steer a terminal nor break a line', () => {
  assert.equal(escapeText('a\u001b[31mb\nc'), 'a\\x1b[31mb\\x0ac');
  assert.equal(escapeText('\u202eevil'), '\\u202eevil');
  assert.equal(escapeText('\u009b1m'), '\\x9b1m');
  assert.equal(escapeText('übung 試験'), 'übung 試験');
  assert.equal(textOf(new Uint8Array([0x61, 0x00, 0x62])), 'a');
  assert.equal(textOf(new Uint8Array([0xff, 0x41])), '\ufffdA');
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      (text) => !/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(escapeText(text)),
    ),
  );
});

test('names of flags, signals and codes', () => {
  assert.equal(openFlags(0x80002), 'O_RDWR|O_CLOEXEC');
  assert.equal(openFlags(0x101000), 'O_RDONLY|O_SYNC');
  assert.equal(openFlags(0), 'O_RDONLY');
  assert.equal(mapFlags(0x11), 'SHARED|FIXED');
  assert.equal(mapFlags(0x40), '32BIT');
  assert.equal(mapFlags(9), 'type9');
  assert.equal(protection(0), 'NONE');
  assert.equal(protection(0x43), 'READ|WRITE|0x40');
  assert.equal(signalName(11), 'SIGSEGV');
  assert.equal(signalName(99), 'signal 99');
  assert.equal(signalCode(7, 2), 'BUS_ADRERR');
  assert.equal(signalCode(11, -6), 'SI_TKILL');
  assert.equal(signalCode(11, 77), 'code 77');
});
