// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatSeconds, formatSize, parseDuration, parseSize } from './quantity.js';

const ANY = { least: 0, most: Number.MAX_SAFE_INTEGER };

describe('sizes', () => {
  it('are read with their unit', () => {
    assert.equal(parseSize('64M', '-', ANY), 64 << 20);
    assert.equal(parseSize('1.5g', '-', ANY), 1.5 * 2 ** 30);
    assert.equal(parseSize('2KiB', '-', ANY), 2048);
    assert.equal(parseSize('7', '-', ANY), 7);
  });
  it('are refused with what would be right', () => {
    for (const text of ['', 'M', '12q', '-1M', '1e3', '0x10']) {
      assert.throws(() => parseSize(text, '--buffer', ANY), {
        message: `--buffer: '${text}' is no size; write it like 64M or 2G`,
      });
    }
    assert.throws(() => parseSize('1K', '--buffer', { least: 65536, most: 1e9 }), {
      message: '--buffer: 1K is too small; at least 64 KiB',
    });
    assert.throws(() => parseSize('2G', '--buffer', { least: 0, most: 2 ** 30 }), {
      message: '--buffer: 2G is too large; at most 1 GiB',
    });
  });
  it('are written for people', () => {
    assert.deepEqual([0, 1023, 2048, 1.5 * 2 ** 20, 250 * 2 ** 20].map(formatSize), [
      '0 bytes',
      '1023 bytes',
      '2 KiB',
      '1.5 MiB',
      '250 MiB',
    ]);
  });
});

describe('times', () => {
  it('are read with their unit', () => {
    assert.equal(parseDuration('500ms', '-'), 5e8);
    assert.equal(parseDuration('10s', '-'), 1e10);
    assert.equal(parseDuration('2m', '-'), 12e10);
    assert.equal(parseDuration('1.5h', '-'), 54e11);
  });
  it('are refused with what would be right', () => {
    for (const text of ['', '12', 's', '10 days', '-1s']) {
      assert.throws(() => parseDuration(text, '--duration'), {
        message: `--duration: '${text}' is no time; write it like 10s, 500ms or 2m`,
      });
    }
    assert.throws(() => parseDuration('0s', '--duration'), /more than nothing/);
  });
  it('are written for people', () => {
    assert.deepEqual([0.0002, 0.25, 3.21, 250, 7300].map(formatSeconds), [
      '200 µs',
      '250 ms',
      '3.2 s',
      '4 min 10 s',
      '2 h 1 min',
    ]);
  });
});
