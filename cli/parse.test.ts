// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../abi/user-error.js';
import { parseVerb } from './parse.js';
import { defineVerb, type Verb } from './verb.js';

const wrapper = defineVerb({
  usage: 'record [options] [--] DRIVER ARGS…',
  summary: 'run a driver',
  operands: 'command',
  options: {
    output: { type: 'string', alias: 'o', describe: 'the trace' },
    watch: { type: 'string', array: true, describe: 'ranges' },
    'when-full': { choices: ['block', 'drop'], default: 'block', describe: 'what to do' },
    duration: { type: 'number', describe: 'seconds' },
    json: { type: 'boolean', default: false, describe: 'as JSON' },
  },
  run: async () => 0,
}) as unknown as Verb;

const reader = defineVerb({
  usage: 'info TRACE',
  summary: 'what a trace holds',
  operands: { least: 1, most: 1 },
  options: { json: { type: 'boolean', default: false, describe: 'as JSON' } },
  run: async () => 0,
}) as unknown as Verb;

async function refused(verb: Verb, words: readonly string[]): Promise<string> {
  try {
    await parseVerb('verb', verb, words);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.message;
  }
  return assert.fail(`accepted: ${words.join(' ')}`);
}

test('options before the driver are ours, all after it are its own', async () => {
  const args = await parseVerb('record', wrapper, [
    '-o',
    't',
    '--watch',
    'BAR0',
    'drv',
    '-o',
    'x',
    '--json',
    '--',
    '-v',
  ]);
  assert.equal(args?.['output'], 't');
  assert.deepEqual(args?.['watch'], ['BAR0']);
  assert.equal(args?.['json'], false);
  assert.deepEqual(args?.operands, ['drv', '-o', 'x', '--json', '--', '-v']);
});

test('after -- nothing is ours, not even what looks like a number or help', async () => {
  const args = await parseVerb('record', wrapper, [
    '--json',
    '--',
    './-drv',
    '--help',
    '0x10',
    '1e3',
    '',
    '--',
    '-h',
  ]);
  assert.equal(args?.['json'], true);
  assert.deepEqual(args?.operands, ['./-drv', '--help', '0x10', '1e3', '', '--', '-h']);
});

test('any command line reaches the driver unchanged, with -- and without', async () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom('--', '-', '-o', '--json', '--no-huge', '-l', '0-1', '007', '{}'),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 6 }), async (words) => {
      const marked = await parseVerb('record', wrapper, ['--', 'drv', ...words]);
      assert.deepEqual(marked?.operands, ['drv', ...words]);
      const bare = await parseVerb('record', wrapper, ['--json', 'drv', ...words]);
      assert.deepEqual(bare?.operands, ['drv', ...words]);
    }),
    { numRuns: 200 },
  );
});

test('a repeated array option takes one value each time', async () => {
  const args = await parseVerb('record', wrapper, ['--watch', 'BAR0', '--watch', 'BAR2:0-0xfff', 'drv']);
  assert.deepEqual(args?.['watch'], ['BAR0', 'BAR2:0-0xfff']);
  assert.deepEqual(args?.operands, ['drv']);
});

test('a file named - or like a number is a file', async () => {
  assert.deepEqual((await parseVerb('info', reader, ['-']))?.operands, ['-']);
  assert.deepEqual((await parseVerb('info', reader, ['12']))?.operands, ['12']);
});

test('each mistake is one line that says what to do', async () => {
  assert.equal(await refused(reader, []), 'verb: too few arguments; usage: vfiotape info TRACE');
  assert.equal(
    await refused(reader, ['a', 'b']),
    "verb: unexpected argument 'b'; usage: vfiotape info TRACE",
  );
  assert.equal(
    await refused(reader, ['--jsn', 'a']),
    'verb: unknown argument: jsn; see vfiotape verb --help',
  );
  assert.equal(
    await refused(wrapper, ['-o']),
    'verb: not enough arguments following: o; see vfiotape verb --help',
  );
  assert.equal(
    await refused(wrapper, ['-o', 'a', '-o', 'b', 'd']),
    'verb: --output is given 2 times; give it once',
  );
  assert.equal(await refused(wrapper, ['--duration', 'soon', 'd']), 'verb: --duration needs a number');
  assert.equal(
    await refused(wrapper, ['--when-full', 'wait', 'd']),
    'verb: invalid values: Argument: when-full, Given: "wait", Choices: "block", "drop"; see vfiotape verb --help',
  );
});
