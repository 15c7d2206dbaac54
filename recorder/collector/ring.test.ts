// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PayloadRole, RecordFlag, RecordKind } from '../../abi/wire/record.js';
import { type FakeRecord, FakeSession } from './fake-shim.js';
import { RingReader } from './ring.js';

const NOW = 1000;

function withRing(
  act: (session: FakeSession, fake: ReturnType<FakeSession['claim']>, ring: () => RingReader) => void,
): void {
  const session = new FakeSession();
  const fake = session.claim(3, 100, 101, 1);
  let reader: RingReader | undefined;
  try {
    act(session, fake, () => {
      reader ??= RingReader.open(session.directory, 3);
      assert.ok(reader !== undefined);
      reader.sample();
      return reader;
    });
  } finally {
    reader?.close();
    fake.close();
    session.remove();
  }
}

function payloadOf(ring: RingReader): { role: number; index: number; data: number[] }[] {
  ring.loadPayload();
  return ring.segments.slice(0, ring.segmentCount).map(({ role, index, start, length }) => ({
    role,
    index,
    data: [...ring.window.subarray(start, start + length)],
  }));
}

const segment = fc.record({
  role: fc.constantFrom(PayloadRole.IN, PayloadRole.OUT, PayloadRole.DATA),
  index: fc.nat(65535),
  data: fc.uint8Array({ maxLength: 300 }),
});
const record: fc.Arbitrary<FakeRecord> = fc.record({
  kind: fc.constantFrom(RecordKind.IOCTL, RecordKind.READ, RecordKind.WRITE),
  entered: fc.bigInt(0n, 1n << 50n),
  value: fc.bigInt(0n, (1n << 64n) - 1n),
  segments: fc.array(segment, { maxLength: 3 }),
});

describe('a ring', () => {
  it('gives back every record and payload in order, however often it wraps and is released', () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 700 }),
        fc.array(fc.nat(40), { minLength: 5, maxLength: 20 }),
        (records, releases) => {
          withRing((_session, fake, reader) => {
            const waiting: FakeRecord[] = [];
            let release = 0;
            const take = (most: number): void => {
              const ring = reader();
              for (let n = 0; n < most && ring.present(NOW); n++) {
                const expected = waiting.shift() as FakeRecord;
                const view = new DataView(ring.words.buffer, ring.at * 4);
                assert.equal(view.getBigUint64(24, true), expected.value);
                const segments = expected.segments ?? [];
                const has = (((ring.words[ring.at + 14] as number) >>> 8) & RecordFlag.PAYLOAD) !== 0;
                assert.equal(has, segments.length > 0);
                if (has) {
                  assert.deepEqual(
                    payloadOf(ring),
                    segments.map(({ role, index, data }) => ({ role, index: index ?? 0, data: [...data] })),
                  );
                }
                ring.advance();
              }
              ring.release(ring.position, ring.sideDone);
            };
            for (const one of records) {
              while (!fake.hasRoom(one)) take(1 + (releases[release++ % releases.length] as number));
              fake.put(one);
              waiting.push(one);
            }
            take(Number.POSITIVE_INFINITY);
            assert.equal(waiting.length, 0);
            assert.equal(reader().damagedPayloads, 0);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('stops at a slot that is being filled, and goes on once it is', () => {
    withRing((_session, fake, reader) => {
      fake.put({ kind: RecordKind.READ, entered: 1n });
      const open = fake.reserve();
      fake.put({ kind: RecordKind.READ, entered: 3n });
      const ring = reader();
      assert.ok(ring.present(NOW));
      ring.advance();
      assert.equal(ring.present(NOW), false);
      fake.fill(open, { kind: RecordKind.READ, entered: 2n });
      assert.ok(ring.present(NOW));
      assert.equal(ring.time, 2);
      assert.equal(ring.holes, 0);
    });
  });

  it('passes over a slot that stays empty while its thread goes on, after a second', () => {
    withRing((_session, fake, reader) => {
      fake.reserve();
      fake.put({ kind: RecordKind.READ, entered: 3n });
      const ring = reader();
      assert.equal(ring.present(NOW), false);
      assert.equal(ring.present(NOW + 900), false);
      assert.ok(ring.present(NOW + 1000));
      assert.equal(ring.time, 3);
      assert.equal(ring.holes, 1);
    });
  });

  it('waits for an access that is under way, and shows it as it is when its thread died in it', () => {
    withRing((_session, fake, reader) => {
      fake.put({ kind: RecordKind.LOAD, entered: 5n, flags: RecordFlag.INTENT });
      const ring = reader();
      assert.equal(ring.present(NOW), false);
      assert.equal(ring.present(NOW + 5000), false, 'a device may take its time');
      ring.dead = true;
      assert.ok(ring.present(NOW + 5000));
      assert.equal(((ring.words[ring.at + 14] as number) >>> 8) & RecordFlag.INTENT, RecordFlag.INTENT);
    });
  });

  it('shows the call that a dead thread was in, but not one that it had recorded', () => {
    withRing((_session, fake, reader) => {
      const call = { kind: RecordKind.IOCTL, entered: 77n, op: 0x3b71, duration: 9 };
      fake.put({ kind: RecordKind.READ, entered: 70n });
      fake.inflight(call);
      const ring = reader();
      assert.ok(ring.present(NOW));
      ring.advance();
      assert.ok(ring.presentInflight());
      assert.equal(ring.words[ring.at + 12], 0x3b71);
      assert.equal(ring.time, 77, 'it never completed');
      fake.put(call);
      ring.sample();
      assert.ok(ring.present(NOW));
      ring.advance();
      assert.equal(ring.presentInflight(), false);
    });
  });

  it('takes a record whose payload lies where none can be without it', () => {
    withRing((_session, fake, reader) => {
      const position = fake.reserve();
      fake.fill(position, { kind: RecordKind.READ, entered: 1n }, 1n << 20n);
      const ring = reader();
      assert.ok(ring.present(NOW));
      assert.deepEqual(payloadOf(ring), []);
      assert.equal(ring.damagedPayloads, 1);
    });
  });

  it('counts long durations in their unit', () => {
    withRing((_session, fake, reader) => {
      fake.put({ kind: RecordKind.IOCTL, entered: 10n, duration: 0xffff_ffff, flags: RecordFlag.LONG });
      const ring = reader();
      assert.ok(ring.present(NOW));
      assert.equal(ring.time, 10 + 0xffff_ffff * 65536);
    });
  });
});
