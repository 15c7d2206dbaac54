// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../../abi/user-error.js';
import { EventKind } from '../../traces/model.js';
import type { Description } from '../describe/description.js';
import { compileFilter } from './compile.js';
import { parseInteger, parseTime } from './fields.js';
import type { FilterSubject } from './subject.js';

const DESCRIPTION: Description = {
  op: 'read',
  text: 'read config+0x4 Command = 0x0006',
  result: undefined,
  parts: [],
  known: true,
};

const SUBJECT: FilterSubject = {
  number: 12,
  kind: EventKind.READ,
  time: 1_500_000,
  duration: 250,
  fd: 5,
  errno: 0,
  thread: 1,
  object: 3,
  value: 6n,
  result: 2n,
  offset: 4n,
  op: 'read',
  description: DESCRIPTION,
  objectName: 'device0',
  objectLabel: 'device0 0000:00:04.0',
  tid: 4711,
  threadName: 'worker-1',
  pid: 4700,
  site: ['qemu-img!nvme_poll+0x1c (nvme.c:123)', 'qemu-img+0x1234'],
};

const matches = (expression: string, subject: Partial<FilterSubject> = {}): boolean =>
  compileFilter(expression).matches({ ...SUBJECT, ...subject });

test('comparisons of every sort', () => {
  for (const expression of [
    'kind=read',
    'kind!=ioctl',
    'number=12',
    'number=0xc',
    'time=1.5ms',
    'time>=1500us & time<=0.0015s',
    'duration<1us',
    'fd>4',
    'errno=0',
    'result=2',
    'value<=6',
    'offset>=4 & offset<1K',
    'object=device0',
    'object=0000:00:04.0',
    "object='device0 0000:00:04.0'",
    'object=DEVICE',
    'object~00:04',
    'object!~container',
    'thread=4711',
    'thread=worker-1',
    'process=4700',
    'site~qemu',
    'op=READ',
    'op~ea',
    'text~"Command = 0x0006"',
    '!kind=write',
    '!(kind=write | kind=ioctl)',
    '!!kind=read',
    'kind=write | kind=read & fd=5',
    '(kind=write | kind=read) & fd=5',
    'kind=read&&fd=5||fd=7',
  ]) {
    assert.ok(matches(expression), expression);
    assert.ok(!matches(`!(${expression})`), expression);
  }
});

test('64-bit numbers are compared exactly', () => {
  const value = (1n << 64n) - 1n;
  assert.ok(matches('value=0xffffffffffffffff', { value }));
  assert.ok(!matches('value=0xfffffffffffffffe', { value }));
  assert.ok(matches('value>18446744073709551614', { value }));
  assert.ok(matches('result<0 & result=-1', { result: -1n }));
  assert.ok(matches('errno=EINVAL | errno=25', { errno: 22 }));
  assert.ok(matches('errno=einval', { errno: 22 }));
});

test('the kinds that can match are known', () => {
  const kinds = (expression: string) => {
    const set = compileFilter(expression).kinds;
    return set === undefined ? undefined : [...set].sort((a, b) => a - b);
  };
  assert.deepEqual(kinds('kind=read'), [EventKind.READ]);
  assert.deepEqual(kinds('kind=read | kind=write'), [EventKind.READ, EventKind.WRITE]);
  assert.deepEqual(kinds('kind=read & fd=5'), [EventKind.READ]);
  assert.deepEqual(kinds('kind=read & kind=write'), []);
  assert.deepEqual(kinds('op=VFIO_DEVICE_RESET'), [EventKind.IOCTL]);
  assert.deepEqual(kinds('!(kind!=read | fd=5)'), [EventKind.READ]);
  assert.equal(kinds('kind=read | fd=5'), undefined);
  assert.equal(kinds('!kind=read'), undefined);
});

test('a mistake is one line that points at its column', () => {
  const mistakes: Readonly<Record<string, string>> = {
    '': 'column 1: the expression is empty',
    'kind=ioctl &': 'column 13: the expression ends where a comparison such as kind=ioctl is expected',
    '(kind=read': "column 11: the expression ends where ')', '&' or '|' is expected",
    'kind=read)': "column 10: unexpected ')' where '&' or '|' is expected",
    'kind=read fd=3': "column 11: unexpected 'fd' where '&' or '|' is expected",
    'kind read': "column 6: unexpected 'read' where a comparison after 'kind' is expected",
    'fd=': 'column 4: the expression ends where a value is expected',
    'fd=&': "column 4: unexpected '&' where a value is expected",
    '=3': "column 1: unexpected '=' where a comparison such as kind=ioctl is expected",
    'fd~3': "column 3: 'fd' is a number and can't be asked with '~'",
    'object<3': "column 7: 'object' is text and has no '<'",
    'fd=many': "column 4: 'many' is not a number",
    'time>5parsec': "column 6: '5parsec' is not a time such as 1.5ms, 200us or 80ns",
    'errno=EWRONG': "column 7: 'EWRONG' is not an errno such as EINVAL, or a number",
    "text~'x": "column 6: the ' is never closed",
    'op=VFIO_DEVICE_SET_IRQ':
      "column 4: no call is named 'VFIO_DEVICE_SET_IRQ'; did you mean VFIO_DEVICE_SET_IRQS?",
    'op=frobnicate': "column 4: no call is named 'frobnicate' (op~ finds parts of a name)",
  };
  for (const [expression, message] of Object.entries(mistakes)) {
    assert.throws(
      () => compileFilter(expression),
      (error) => {
        assert.ok(error instanceof UserError);
        assert.equal(error.message, `filter '${expression}', ${message}`);
        return true;
      },
    );
  }
  assert.throws(() => compileFilter('kind=\u001b[2J'), /column 6: '\\x1b\[2J' is not one of thread/);
  assert.throws(() => compileFilter('__proto__=1'), /unknown field '__proto__'; the fields are kind, op/);
  assert.throws(() => compileFilter(`${'('.repeat(5000)}fd=1`), /nested more than 200 deep/);
  assert.ok(matches(Array.from({ length: 1000 }, () => 'fd=5').join(' & ')));
});

// --- expressions against the truth of their parts -----------------------------------------------------------------

type Tree = { readonly text: string; readonly truth: boolean };

const atoms: readonly Tree[] = [
  { text: 'kind=read', truth: true },
  { text: 'kind = write', truth: false },
  { text: 'fd>=5', truth: true },
  { text: 'value>0x7', truth: false },
  { text: 'object~"device0"', truth: true },
  { text: 'time<1ms', truth: false },
];

const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(...atoms),
    tie('tree').map(({ text, truth }) => ({ text: `!(${text})`, truth: !truth })),
    tie('tree').map(({ text, truth }) => ({ text: `( ${text})`, truth })),
    fc
      .tuple(tie('tree'), tie('tree'))
      .map(([a, b]) => ({ text: `(${a.text}) & (${b.text})`, truth: a.truth && b.truth })),
    fc
      .tuple(tie('tree'), tie('tree'))
      .map(([a, b]) => ({ text: `(${a.text})|(${b.text})`, truth: a.truth || b.truth })),
  ),
}));

test('an expression is true when logic says so, and its kinds never exclude a match', () => {
  fc.assert(
    fc.property(tree, ({ text, truth }) => {
      const filter = compileFilter(text);
      assert.equal(filter.matches(SUBJECT), truth, text);
      if (truth) assert.ok(filter.kinds?.has(SUBJECT.kind) ?? true, text);
    }),
    { numRuns: 500 },
  );
});

test('& binds more than |', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...atoms),
      fc.constantFrom(...atoms),
      fc.constantFrom(...atoms),
      (a, b, c) => {
        assert.equal(matches(`${a.text} | ${b.text} & ${c.text}`), a.truth || (b.truth && c.truth));
        assert.equal(matches(`${a.text} & ${b.text} | ${c.text}`), (a.truth && b.truth) || c.truth);
        assert.equal(matches(`!${a.text} & ${b.text}`), !a.truth && b.truth);
      },
    ),
  );
});

test('any text either compiles or is a user’s mistake', () => {
  const noise = fc.array(
    fc.oneof(
      fc.constantFrom('kind', '=', 'read', '&', '|', '!', '(', ')', '~', '<', "'", '"', ' ', 'fd', '0x'),
      fc.string(),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(noise, (pieces) => {
      try {
        compileFilter(pieces.join(''));
      } catch (error) {
        assert.ok(error instanceof UserError);
        assert.doesNotMatch(error.message, /\p{Cc}/u);
      }
    }),
    { numRuns: 500 },
  );
});

test('numbers and times', () => {
  assert.equal(parseInteger('4K'), 4096n);
  assert.equal(parseInteger('-0x10'), -16n);
  assert.equal(parseInteger('0x1ffffffffffffffff'), undefined);
  assert.equal(parseInteger('1.5'), undefined);
  assert.equal(parseTime('80'), 80);
  assert.equal(parseTime('2s'), 2e9);
  assert.equal(parseTime('-1s'), undefined);
});
