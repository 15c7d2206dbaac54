// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PciFunction, type Upstream } from '../pci/function.js';
import { Edu } from './edu.js';

/** A function on a machine without an IOMMU, bus master, with MSI if asked for. */
function machine(msi = true) {
  const memory = new Uint8Array(65536);
  const sent: number[] = [];
  const work: (() => void)[] = [];
  const fn = new PciFunction(new Edu());
  const upstream: Upstream = {
    dmaRead: (iova, into) => {
      into.set(memory.subarray(Number(iova), Number(iova) + into.length));
      return true;
    },
    dmaWrite: (iova, from) => {
      memory.set(from, Number(iova));
      return true;
    },
    windows: [],
    message: (_kind, _vector, _address, data) => sent.push(data),
    intx: (asserted) => sent.push(asserted ? 1 : -1),
    defer: (one) => work.push(one),
    removed: () => {},
    administer: () => {},
  };
  fn.upstream = upstream;
  fn.configWrite(4, 2, 0x0006);
  if (msi) fn.configWrite(0x42, 2, 0x0081);
  const settle = () => {
    for (let one = work.shift(); one !== undefined; one = work.shift()) one();
  };
  const write = (at: number, value: bigint, width: 4 | 8 = 4) => fn.barWrite(0, at, width, value);
  const read = (at: number, width: 4 | 8 = 4) => fn.barRead(0, at, width);
  return { fn, memory, sent, settle, write, read };
}

test('identification, liveness and widths are as documented', () => {
  const { fn, write, read } = machine();
  assert.equal(read(0), 0x0100_00edn);
  write(4, 0x1234_5678n);
  assert.equal(read(4), 0xedcb_a987n);
  assert.equal(fn.barRead(0, 0, 2), 0xffffn, 'below 0x80 only 32 bits');
  assert.equal(fn.barRead(0, 0, 8), 2n ** 64n - 1n);
});

test('a factorial is computed after a while, and interrupts if asked to', () => {
  const { sent, settle, write, read } = machine();
  write(8, 10n);
  assert.equal(read(0x20) & 1n, 1n);
  settle();
  assert.equal(read(8), 3_628_800n);
  assert.deepEqual(sent, []);
  write(0x20, 0x80n);
  write(8, 5n);
  settle();
  assert.deepEqual([read(8), read(0x24), sent.length], [120n, 1n, 1]);
  write(0x64, 1n);
  assert.equal(read(0x24), 0n);
});

test('DMA both ways, bounded by the buffer, with an interrupt', () => {
  const { memory, sent, settle, write, read } = machine();
  memory.set([1, 2, 3, 4], 0x1000);
  const transfer = (source: bigint, destination: bigint, count: bigint, command: bigint) => {
    write(0x80, source, 8);
    write(0x88, destination, 8);
    write(0x90, count, 8);
    write(0x98, command, 8);
    assert.equal(read(0x98) & 1n, 1n);
    settle();
    assert.equal(read(0x98) & 1n, 0n);
  };
  transfer(0x1000n, 0x4_0000n, 4n, 1n);
  transfer(0x4_0000n, 0x2000n, 4n, 7n);
  assert.deepEqual([...memory.subarray(0x2000, 0x2004)], [1, 2, 3, 4]);
  assert.deepEqual([sent.length, read(0x24)], [1, 0x100n]);
  transfer(0x4_0000n, 0x3000n, 5000n, 3n);
  assert.ok(
    memory.subarray(0x3000, 0x4000).every((byte) => byte === 0),
    'more than the buffer holds',
  );
});

test('the pin follows the interrupt status, DisINTx and reset', () => {
  const { fn, sent, settle, write } = machine(false);
  write(0x60, 3n);
  write(0x64, 1n);
  assert.deepEqual(sent.splice(0).filter((level) => level === 1).length > 0, true);
  assert.equal(fn.configRead(6, 2) & 8, 8);
  write(0x64, 2n);
  assert.equal(fn.configRead(6, 2) & 8, 0);
  write(8, 3n);
  fn.reset();
  settle();
  assert.equal(fn.barRead(0, 8, 4), 2n ** 32n - 1n, 'memory is off after a reset');
  fn.configWrite(4, 2, 2);
  assert.equal(fn.barRead(0, 8, 4), 0n, 'what was deferred before it is forgotten');
});

test('without bus mastering nothing leaves the device', () => {
  const { fn, memory, sent, settle, write } = machine();
  fn.configWrite(4, 2, 0x0002);
  write(0x60, 1n);
  write(0x80, 0x4_0000n, 8);
  write(0x88, 0x2000n, 8);
  write(0x90, 4n, 8);
  write(0x98, 3n, 8);
  memory.fill(9, 0x2000, 0x2004);
  settle();
  assert.deepEqual([sent, [...memory.subarray(0x2000, 0x2004)]], [[], [9, 9, 9, 9]]);
});
