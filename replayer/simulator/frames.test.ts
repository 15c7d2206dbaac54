// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SIM_DATA_MAX, SIM_REPLY_BYTES, SimReplyField, SimType } from '../../abi/wire/sim.js';
import { encodeCopies, encodeReply, FrameReader, type Request } from './frames.js';
import { encodeRequest } from './test/client.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const request = fc.record({
  type: fc.nat(0xffff),
  version: fc.nat(0xffff),
  pid: fc.nat(0xffff_ffff),
  file: u64,
  a: u64,
  b: u64,
  c: u64,
  d: u64,
  site: u64,
  payload: fc.uint8Array({ maxLength: 300 }),
});

function drain(frames: FrameReader): Request[] {
  const found: Request[] = [];
  for (let next = frames.next(); next !== undefined; next = frames.next()) {
    assert.notEqual(next, 'malformed');
    if (next !== 'malformed') found.push(next);
  }
  return found;
}

test('requests come out as they went in, wherever the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 200 })),
      (sent, cuts) => {
        const stream = Buffer.concat(sent.map(encodeRequest));
        const frames = new FrameReader();
        const received: Request[] = [];
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          frames.push(stream.subarray(at, at + cut));
          at = Math.min(stream.length, at + cut);
          received.push(...drain(frames));
        }
        assert.deepEqual(
          received.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) })),
          sent.map((one) => ({ ...one })),
        );
      },
    ),
  );
});

test('a request that is cut anywhere is none yet', () => {
  const whole = encodeRequest({ type: SimType.PWRITE, payload: new Uint8Array(40).fill(7) });
  for (let length = 0; length < whole.length; length++) {
    const frames = new FrameReader();
    frames.push(whole.subarray(0, length));
    assert.equal(frames.next(), undefined, `${length} bytes`);
    frames.push(whole.subarray(length));
    assert.notEqual(frames.next(), undefined);
    assert.equal(frames.next(), undefined);
  }
});

test('a length that no shim sends is malformed before its payload is waited for', () => {
  for (const length of [SIM_DATA_MAX + 1, 0x7fff_ffff, 0xffff_ffff]) {
    const frames = new FrameReader();
    frames.push(encodeRequest({ type: SimType.WRITE, length }));
    assert.equal(frames.next(), 'malformed');
  }
  const frames = new FrameReader();
  frames.push(encodeRequest({ type: SimType.WRITE, length: SIM_DATA_MAX }));
  assert.equal(frames.next(), undefined);
});

test('pieces of a fixed size', () => {
  const frames = new FrameReader();
  frames.push(Buffer.from([1, 2, 3]));
  assert.equal(frames.nextFixed(4), undefined);
  frames.push(Buffer.from([4, 5]));
  assert.deepEqual(frames.nextFixed(4), Buffer.from([1, 2, 3, 4]));
  assert.equal(frames.nextFixed(4), undefined);
});

test('a reply says its payload’s length, and keeps negative errnos and 64 bits', () => {
  const bytes = encodeReply(SimType.LOAD, {
    result: -14,
    a: 2n ** 64n - 1n,
    b: 3n,
    payload: Uint8Array.of(9),
  });
  assert.equal(bytes.length, SIM_REPLY_BYTES + 1);
  assert.equal(bytes.readUInt32LE(SimReplyField.length), 1);
  assert.equal(bytes.readUInt32LE(SimReplyField.type), SimType.LOAD);
  assert.equal(bytes.readBigInt64LE(SimReplyField.result), -14n);
  assert.equal(bytes.readBigUInt64LE(SimReplyField.a), 2n ** 64n - 1n);
  assert.equal(bytes.readBigUInt64LE(SimReplyField.b), 3n);
});

test('copies are padded to eight bytes', () => {
  const bytes = Buffer.from(
    encodeCopies([
      { address: 0x1000n, bytes: Uint8Array.of(1, 2, 3) },
      { address: 0x2000n, bytes: new Uint8Array(8).fill(4) },
    ]),
  );
  assert.equal(bytes.length, 16 + 8 + 16 + 8);
  assert.equal(bytes.readBigUInt64LE(0), 0x1000n);
  assert.equal(bytes.readUInt32LE(8), 3);
  assert.deepEqual([...bytes.subarray(16, 24)], [1, 2, 3, 0, 0, 0, 0, 0]);
  assert.equal(bytes.readBigUInt64LE(24), 0x2000n);
  assert.deepEqual([...bytes.subarray(40)], new Array(8).fill(4));
  assert.equal(encodeCopies([]).length, 0);
});
