// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstDifference } from './same-output.js';

const ordered = { volatile: [/\d+ ms/g] };
const unordered = { volatile: [], unordered: true };

test('equal but for what is volatile', () => {
  assert.equal(firstDifference(ordered, 'read in 3 ms\nok\n', 'read in 14 ms\r\nok\r\n'), undefined);
});

test('the first line that differs is told', () => {
  assert.equal(firstDifference(ordered, 'a\nb\nc', 'a\nx\nc'), 'line 2 without the recorder: b\nwith it: x');
  assert.equal(firstDifference(ordered, 'a', 'a\nb'), 'line 2 without the recorder: (none)\nwith it: b');
});

test('lines that come in another order are the same', () => {
  assert.equal(firstDifference(unordered, '> quit\nport up\n', 'port up\n> quit\n'), undefined);
});

test('an echoed word that other text split is the same', () => {
  assert.equal(firstDifference(unordered, '> start\nport up\nbye\n', '> stport up\nart\nbye\n'), undefined);
});

test('a prompt that other text split is the same, one less is not', () => {
  assert.equal(firstDifference(unordered, 'Done\npmd> pmd> quit\n', 'pDone\nmd> \npmd> quit\n'), undefined);
  assert.notEqual(firstDifference(unordered, 'Done\npmd> pmd> quit\n', 'pDone\nmd> \nquit\n'), undefined);
});

test('a line more, a line less and another number are differences', () => {
  assert.match(firstDifference(unordered, 'a\nb\n', 'a\n') ?? '', /without the recorder only: \["b"\]/);
  assert.match(firstDifference(unordered, 'rx 8\n', 'rx 8\nrx 8\n') ?? '', /with it only: \["rx 8"\]/);
  assert.match(firstDifference(unordered, 'rx 8\n', 'rx 7\n') ?? '', /\["rx 8"\]/);
});
