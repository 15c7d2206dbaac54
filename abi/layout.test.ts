// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IOCTLS_BY_KIND } from './ioctls.js';
import {
  decode,
  encode,
  type Field,
  fieldText,
  type Layout,
  readUnsigned,
  s32,
  struct,
  u8,
  u16,
  u32,
  u64,
} from './layout.js';
import { flagTable, valueTable } from './names.js';
import { FEATURE_DMA_BUF, featureLayout } from './vfio/feature.js';
import { DMA_MAP } from './vfio/type1.js';

const layouts: readonly Layout[] = [
  ...new Set([
    ...Object.values(IOCTLS_BY_KIND)
      .flat()
      .flatMap(({ argument }) => (argument.kind === 'struct' ? [argument.layout] : [])),
    ...Array.from({ length: 16 }, (_, id) => featureLayout(id)).filter((layout) => layout !== undefined),
  ]),
];

const fieldValue = ({ bytes, signed }: Field): fc.Arbitrary<number | bigint> => {
  if (bytes === 8) return fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
  const limit = 2 ** (bytes * 8);
  return signed
    ? fc.integer({ min: -limit / 2, max: limit / 2 - 1 })
    : fc.integer({ min: 0, max: limit - 1 });
};

test('what is encoded is decoded, for every structure', () => {
  assert.ok(layouts.length > 50);
  for (const layout of layouts) {
    const values = fc.record(
      Object.fromEntries(Object.entries(layout.fields).map(([name, field]) => [name, fieldValue(field)])),
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(values, fc.integer({ min: 0, max: 16 }), (held, more) => {
        const size =
          Math.max(layout.size, ...Object.values(layout.fields).map((f) => f.offset + f.bytes)) + more;
        assert.deepEqual(decode(layout, encode(layout, held, size)), held);
      }),
      { numRuns: 20 },
    );
  }
});

test('bytes that a structure covers survive decoding and encoding', () => {
  for (const layout of layouts) {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: layout.size, maxLength: layout.size }), (bytes) => {
        const again = encode(layout, decode(layout, bytes));
        for (const { offset, bytes: width } of Object.values(layout.fields)) {
          assert.deepEqual(again.subarray(offset, offset + width), bytes.subarray(offset, offset + width));
        }
      }),
      { numRuns: 10 },
    );
  }
});

test('fields are where a C compiler would put them: aligned, in order, without overlap', () => {
  for (const { name, fields } of layouts) {
    let end = 0;
    for (const [field, { offset, bytes }] of Object.entries(fields)) {
      assert.equal(offset % bytes, 0, `${name}.${field} is not aligned`);
      assert.ok(offset >= end, `${name}.${field} overlaps the field before it`);
      end = offset + bytes;
    }
  }
});

test('a structure that was cut short has the fields that it holds in full', () => {
  const bytes = encode(DMA_MAP, { argsz: 32, flags: 3, vaddr: 1n, iova: 2n, size: 3n });
  assert.deepEqual(decode(DMA_MAP, bytes.subarray(0, 23)), { argsz: 32, flags: 3, vaddr: 1n });
  assert.deepEqual(decode(DMA_MAP, new Uint8Array(0)), {});
  assert.deepEqual(encode(DMA_MAP, { argsz: 32, size: 3n }, 8), new Uint8Array([32, 0, 0, 0, 0, 0, 0, 0]));
  assert.equal(FEATURE_DMA_BUF.size, 16);
});

test('fields are shown by what they are', () => {
  const shown = struct('shown', 32, {
    flags: u32(0, { flags: flagTable('X_', { A: 1, B: 2, BOTH: 12 }) }),
    value: u16(4, { values: valueTable('X_', { ZERO: 0, ONE: 1 }) }),
    small: u8(6),
    fd: s32(8),
    length: u64(16, { size: true }),
    address: u64(24),
  });
  const text = (name: keyof typeof shown.fields, value: number | bigint) =>
    fieldText(shown.fields[name], value);
  assert.equal(text('flags', 0), '0');
  assert.equal(text('flags', 0x8000_0003), 'A|B|0x80000000');
  assert.equal(text('flags', 0x4), '0x4');
  assert.equal(text('flags', 0xc), 'BOTH');
  assert.equal(text('value', 1), 'ONE');
  assert.equal(text('value', 9), '9');
  assert.equal(text('fd', -1), '-1');
  assert.equal(text('length', 0x20_0000n), '2M');
  assert.equal(text('length', 4097n), '4097');
  assert.equal(text('address', 0xffff_ffff_ffff_ffffn), '0xffffffffffffffff');
});

test('numbers of 1 to 8 bytes are read as they lie', () => {
  const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 0xf8]);
  assert.equal(readUnsigned(bytes, 0, 3), 0x030201);
  assert.equal(readUnsigned(bytes, 4, 4), 0xf8070605);
  assert.equal(readUnsigned(bytes, 0, 8), 0xf807060504030201n);
  assert.equal(readUnsigned(bytes, 5, 4), undefined);
  assert.equal(readUnsigned(bytes, -1, 1), undefined);
});
