// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { OpenFiles } from './open-files.js';
import { CallMemory, ProcessMemory } from './process-memory.js';
import { cutRanges, RemoteProcess } from './remote-process.js';

// A process whose memory nobody else touches: cat waits for its input, and its environment lies on its stack.
const MARK = 'VFIOTAPE_MARK=a string of the environment, to be found';
let child: ChildProcess;
let pid: number;
let stack: { readonly start: bigint; readonly bytes: Buffer };
let mark: bigint;

before(async () => {
  const [name = '', value = ''] = MARK.split('=');
  child = spawn('/bin/cat', { env: { [name]: value }, stdio: ['pipe', 'pipe', 'ignore'] });
  await once(child, 'spawn');
  child.stdin?.write('x');
  assert.ok(child.stdout !== null);
  await once(child.stdout, 'data');
  pid = child.pid as number;
  const [from = '', to = ''] = /^(\S+)-(\S+) .*\[stack\]$/m.exec(maps())?.slice(1) ?? [];
  const start = BigInt(`0x${from}`);
  const bytes = Buffer.alloc(Number(BigInt(`0x${to}`) - start));
  assert.ok(new ProcessMemory(pid).read(start, bytes));
  stack = { start, bytes };
  mark = start + BigInt(bytes.indexOf(MARK));
});
after(() => child.kill('SIGKILL'));

function maps(): string {
  return readFileSync(`/proc/${pid}/maps`, 'latin1');
}

function readOnlyPage(): bigint {
  return BigInt(`0x${/^([0-9a-f]+)-\S+ r--p/m.exec(maps())?.[1]}`);
}

test('memory is read and written whole, or not at all', () => {
  const memory = new ProcessMemory(pid);
  const end = stack.start + BigInt(stack.bytes.length);
  const found = Buffer.alloc(MARK.length);
  assert.ok(memory.read(mark, found));
  assert.equal(found.toString(), MARK);
  assert.ok(memory.write(mark, Buffer.from('vfiotape')));
  assert.ok(memory.read(mark, found));
  assert.equal(found.toString(), MARK.replace('VFIOTAPE', 'vfiotape'));
  // The gap between the stack and what lies above it.
  assert.ok(!memory.read(end - 4n, Buffer.alloc(8)));
  for (const address of [0n, 4096n, 2n ** 47n, 2n ** 63n, 2n ** 64n - 8n]) {
    assert.ok(!memory.read(address, Buffer.alloc(8)), `0x${address.toString(16)}`);
    assert.ok(!memory.write(address, Buffer.alloc(8)), `0x${address.toString(16)}`);
  }
  assert.ok(memory.write(readOnlyPage(), Buffer.from('\x7fELF')), 'DMA asks no CPU page table');
  memory.close();
  memory.close();
  assert.ok(!memory.read(mark, found), 'closed');
});

test('what a process itself may do with its pages', () => {
  const memory = new ProcessMemory(pid);
  assert.ok(memory.permits(mark, 8n, true));
  const page = readOnlyPage();
  assert.ok(memory.permits(page, 4096n, false));
  assert.ok(!memory.permits(page, 4096n, true));
  assert.ok(!memory.permits(stack.start - 4096n, 8192n, false), 'partly nothing');
  assert.ok(!memory.permits(0n, 1n, false));
  assert.ok(!memory.permits(2n ** 64n - 4096n, 8192n, false), 'beyond all addresses');
  assert.ok(memory.permits(stack.start, BigInt(stack.bytes.length), true));
  memory.close();
});

test('what a process may: descriptors, limits, capabilities', () => {
  const files = new OpenFiles();
  const process = new RemoteProcess(pid, files, () => false);
  assert.equal(process.file(0), 'other');
  assert.equal(process.file(999), undefined);
  assert.equal(process.file(-1), undefined);
  const own = /^Max locked memory +(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  assert.equal(process.memlock, own === 'unlimited' ? 2n ** 64n - 1n : BigInt(own ?? 0));
  const held = BigInt(`0x${/^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]}`);
  assert.equal(process.capable('IPC_LOCK'), ((held >> 14n) & 1n) === 1n);
  process.ranges = [{ start: mark & ~4095n, end: (mark & ~4095n) + 4096n, id: 1 }];
  assert.equal(process.pages(mark, 8n, true), 'device');
  assert.equal(process.pages(stack.start, 8n, true), 'memory');
  assert.equal(process.pages(0n, 8n, true), 'fault');
  process.close();
  assert.throws(() => new RemoteProcess(0x7fff_fffe, files, () => false), /ENOENT/);
});

test('during a call its argument is as the shim fetched it, and what it writes is seen by what it reads', () => {
  const memory = new ProcessMemory(pid);
  const call = new CallMemory(memory, mark, Buffer.from('fetched'));
  const seen = (address: bigint, length: number): string => {
    const into = Buffer.alloc(length);
    assert.ok(call.read(address, into));
    return into.toString('latin1');
  };
  const real = (address: bigint, length: number): string => {
    const into = Buffer.alloc(length);
    assert.ok(memory.read(address, into));
    return into.toString('latin1');
  };
  assert.equal(seen(mark, 7), 'fetched');
  assert.equal(seen(mark + 2n, 3), 'tch');
  assert.equal(seen(mark + 7n, 4), real(mark + 7n, 4));
  assert.ok(call.write(mark + 4n, Buffer.from('WRITTEN')));
  assert.equal(seen(mark, 7), 'fetcWRI');
  assert.equal(seen(mark + 7n, 6), `TTEN${real(mark + 11n, 2)}`);
  assert.equal(seen(mark + 2n, 10), `${real(mark + 2n, 2)}WRITTEN${real(mark + 11n, 1)}`);
  assert.deepEqual(
    call.copies.map(({ address, bytes }) => [address, Buffer.from(bytes).toString()]),
    [[mark + 4n, 'WRITTEN']],
  );
  assert.ok(!call.read(0n, Buffer.alloc(1)));
  assert.ok(!call.read(2n ** 64n - 1n, Buffer.alloc(2)));
  memory.close();
});

test('what is left of ranges is what was not cut', () => {
  const bound = fc.bigInt({ min: 0n, max: 24n });
  const range = fc
    .tuple(bound, fc.bigInt({ min: 1n, max: 24n }), fc.nat(3))
    .map(([start, length, id]) => ({ start, end: start + length, id }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 5 }), bound, bound, (ranges, start, length) => {
      const left = cutRanges(ranges, start, start + length);
      for (let at = 0n; at < 50n; at++) {
        const of = (list: readonly { start: bigint; end: bigint; id: number }[]) =>
          list.filter((one) => at >= one.start && at < one.end).map(({ id }) => id);
        const isCut = at >= start && at < start + length;
        assert.deepEqual(of(left), isCut ? [] : of(ranges));
      }
      assert.ok(left.every((one) => one.start < one.end));
    }),
  );
});
