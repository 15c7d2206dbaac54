// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EDU_PCI, Edu } from '../devices/edu/edu.js';
import { parseBdf, placeDevices, ResourceAllocator } from './topology.js';
import { DEFAULT_VARIANT, parseVariant } from './variant.js';

test('devices get the addresses that were promised, and groups of their own', () => {
  const placed = placeDevices([
    { device: new Edu() },
    { device: new Edu(), bdf: '0000:00:05.0', group: 1 },
    { device: new Edu() },
  ]);
  assert.deepEqual(
    placed.map(({ bdf, group }) => [bdf, group]),
    [
      ['0000:00:04.0', 2],
      ['0000:00:05.0', 1],
      ['0000:00:06.0', 3],
    ],
  );
  assert.deepEqual(parseBdf('0001:0a:1f.7'), { segment: 1, bus: 10, device: 31, function: 7 });
  assert.throws(() => parseBdf('00:04.0'), /no PCI address/);
  assert.throws(() => parseBdf('0000:00:20.0'), /32 devices/);
  const twice = { device: new Edu(), bdf: '0000:00:04.0' };
  assert.throws(() => placeDevices([twice, twice]), /same PCI address/);
});

test('BARs do not overlap and are aligned to their size', () => {
  const allocator = new ResourceAllocator();
  const bars = [0x1000, 0x10_0000, 0x100].map((size) => ({ size, kind: 'memory32' as const }));
  const placed = allocator.place({ ...EDU_PCI, bars }).flatMap((one) => one ?? []);
  for (const { start, size } of placed) assert.equal(start % BigInt(size), 0n);
  const sorted = [...placed].sort((a, b) => (a.start < b.start ? -1 : 1));
  sorted.slice(1).forEach(({ start }, i) => {
    const before = sorted[i];
    assert.ok(before !== undefined && before.start + BigInt(before.size) <= start);
  });
});

test('the kernel is chosen by words, and a wrong one is named', () => {
  assert.deepEqual(parseVariant(''), DEFAULT_VARIANT);
  const chosen = parseVariant('version=6.1,iommu=amd,unsafe-interrupts=on,noiommu=on');
  assert.deepEqual(chosen, { version: '6.1', iommu: 'amd', unsafeInterrupts: true, noiommu: true });
  assert.throws(() => parseVariant('version=5.4'), /'version=5.4' should be one of 6.12, 6.1/);
  assert.throws(() => parseVariant('colour=red'), /unknown 'colour=red'/);
  assert.throws(() => parseVariant('iommu=none'), /noiommu=on/);
});
