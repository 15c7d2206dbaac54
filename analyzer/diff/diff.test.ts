// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RecordedSession } from '../../session/fixtures.js';
import { align } from './align.js';
import { type Difference, diffTraces } from './diff.js';

const items = (keys: readonly string[]) => keys.map((key) => ({ key, phase: 'steady' }));

describe('align', () => {
  it('gives each side once, in order, and pairs only what has the same key', () => {
    const keys = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 60 });
    fc.assert(
      fc.property(keys, keys, (one, other) => {
        const pairs = [...align(items(one), items(other))];
        const side = (name: 'a' | 'b') => pairs.flatMap((pair) => pair[name]?.key ?? []);
        assert.deepEqual(side('a'), one);
        assert.deepEqual(side('b'), other);
        for (const { a, b } of pairs) if (a !== undefined && b !== undefined) assert.equal(a.key, b.key);
      }),
    );
  });

  it('finds exactly what was put in or taken out', () => {
    const base = Array.from({ length: 10_000 }, (_, i) => `k${i % 7}-${Math.floor(i / 100)}`);
    const other = [...base];
    other.splice(9000, 42);
    other.splice(5000, 0, 'new1', 'new2');
    other.splice(3000, 1, 'replaced');
    const pairs = [...align(items(base), items(other))];
    assert.equal(pairs.filter(({ b }) => b === undefined).length, 43);
    assert.deepEqual(
      pairs.flatMap(({ a, b }) => (a === undefined ? (b?.key ?? []) : [])),
      ['replaced', 'new1', 'new2'],
    );
  });

  it('goes on with the next phase where nothing agrees', () => {
    const long = (prefix: string) =>
      Array.from({ length: 3000 }, (_, i) => ({ key: `${prefix}${i}`, phase: 'queues' }));
    const end = items(['x', 'y', 'z', 'w']);
    const pairs = [...align([...long('a'), ...end], [...long('b'), ...end])];
    assert.equal(pairs.filter(({ a, b }) => a !== undefined && b !== undefined).length, 4);
  });
});

function session(change: Partial<Record<'iova' | 'cc' | 'polls' | 'version', number>> = {}, more = false) {
  const { iova = 0x10_0000, cc = 0x0046_0001, polls = 1, version = 0x0001_0400 } = change;
  const s = new RecordedSession();
  const { container, device } = s.openNvme();
  s.map(device, 0, 0x4000n);
  s.load(device, 0, 0x08, 4, version);
  s.mapDma(container, { iova: BigInt(iova), size: 0x4000n });
  s.store(device, 0, 0x28, 8, BigInt(iova) + 0x1000n);
  s.store(device, 0, 0x14, 4, cc);
  for (let n = 0; n < polls; n++) s.load(device, 0, 0x1c, 4, 0);
  s.load(device, 0, 0x1c, 4, 1);
  if (more) s.configWrite(device, 4, 2, 0x0406);
  return s.trace();
}

const text = ({ kind, what, a, b }: Difference): string => `${kind} ${what}: ${a ?? '-'} -> ${b ?? '-'}`;

describe('diffTraces', () => {
  const differences = async (change: Parameters<typeof session>[0], more = false) =>
    diffTraces(await session(), await session(change, more)).differences.map(text);

  it('takes other addresses, descriptors and times for the same', async () => {
    assert.deepEqual(await differences({ iova: 0x7f00_0000 }), []);
    assert.deepEqual(await differences({ polls: 50 }), []);
  });

  it('knows an address by one of its halves', async () => {
    const halves = (iova: bigint, offset = 0x1000n) => {
      const s = new RecordedSession();
      const { container, device } = s.openNvme();
      s.mapDma(container, { iova, size: 0x4000n });
      s.store(device, 0, 0x30, 4, (iova + offset) & 0xffff_ffffn);
      s.store(device, 0, 0x34, 4, (iova + offset) >> 32n);
      return s.trace();
    };
    const compared = async (iova: bigint, offset?: bigint) =>
      diffTraces(await halves(0x1_0318_0000n), await halves(iova, offset)).differences.map(text);
    assert.deepEqual(await compared(0x7f4_1234_0000n), []);
    assert.deepEqual(await compared(0x7f4_1234_0000n, 0x2000n), [
      'changed device0 store BAR0+0x30 ACQ: 0x03181000 (mapping 0 + 0x1000) -> 0x12342000 (mapping 0 + 0x2000)',
    ]);
  });

  it('names the register that changed', async () => {
    assert.deepEqual(await differences({ cc: 0x0046_0011 }), [
      'changed device0 store BAR0+0x14 CC: 0x00460001 EN=1 IOSQES=6 IOCQES=4 -> 0x00460011 EN=1 CSS=1 IOSQES=6 IOCQES=4',
    ]);
    assert.deepEqual(await differences({}, true), [
      'added device0 write config+0x4 Command: - -> 0x0406 MEM=1 MASTER=1 INTX_DISABLE=1',
    ]);
  });

  it('learns which bits are volatile from what was read, not from what was written', async () => {
    const { volatile } = diffTraces(
      await session(),
      await session({ version: 0x0001_0501, cc: 0x0046_0011 }),
    );
    assert.deepEqual(volatile, [{ region: 0, offset: 8, bits: 0x101n }]);
  });

  it('says interrupts that never came, and counts that differ', async () => {
    const trace = (count: number) => {
      const s = new RecordedSession();
      const { device } = s.openNvme();
      const eventfd = s.eventfd();
      s.setIrqs(device, { index: 2, eventfds: [eventfd] });
      for (let n = 0; n < count; n++) s.readEventfd(eventfd);
      return s.trace();
    };
    const some = diffTraces(await trace(3), await trace(2));
    assert.deepEqual(some.interrupts, [{ vector: 'device0 MSIX[0]', a: 3, b: 2 }]);
    assert.deepEqual(some.differences, []);
    const none = diffTraces(await trace(3), await trace(0));
    assert.deepEqual(none.differences.map(text), ['removed device0 MSIX[0] interrupts: 3 -> -']);
  });
});
