// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Host } from '../device.js';
import { Nvme } from './nvme.js';
import { FileStorage, MemoryStorage, type Storage } from './storage.js';

const MEMORY = 1 << 20;
const ADMIN_SQ = 0x1000;
const ADMIN_CQ = 0x2000;
const IO_SQ = 0x3000;
const IO_CQ = 0x4000;
const LIST = 0x5000;
const BUFFER = 0x8000;
const ENTRIES = 8;

/** A machine of one megabyte without an IOMMU, and a driver that knows NVMe. */
class Machine {
  readonly memory = new Uint8Array(MEMORY);
  readonly view = new DataView(this.memory.buffer);
  readonly sent: number[] = [];
  readonly device: Nvme;
  pin = false;
  messages: Host['messages'] = 'msix';
  #deferred: (() => void)[] = [];
  #queues = [
    { sq: ADMIN_SQ, cq: ADMIN_CQ, tail: 0, head: 0, phase: 1 },
    { sq: IO_SQ, cq: IO_CQ, tail: 0, head: 0, phase: 1 },
  ] as const;
  #commandId = 1;

  constructor(storage: Storage = new MemoryStorage(1 << 20)) {
    this.device = new Nvme({ storage });
    const machine = this;
    this.device.attach({
      dmaRead: (iova, into) =>
        this.#dma(iova, into.length, (at) => into.set(this.memory.subarray(at, at + into.length))),
      dmaWrite: (iova, from) => this.#dma(iova, from.length, (at) => this.memory.set(from, at)),
      windows: [],
      message: (vector) => this.sent.push(vector),
      intx: (asserted) => {
        this.pin = asserted;
      },
      get messages() {
        return machine.messages;
      },
      reset: () => {},
      remove: () => {},
      administer: () => {},
      defer: (work) => this.#deferred.push(work),
    });
  }

  #dma(iova: bigint, length: number, move: (at: number) => void): boolean {
    if (iova + BigInt(length) > BigInt(MEMORY)) return false;
    move(Number(iova));
    return true;
  }

  settle(): void {
    for (let i = 0; i < 10_000; i++) {
      const work = this.#deferred.shift();
      if (work === undefined) return;
      work();
    }
    assert.fail('the device never rests');
  }

  store(offset: number, value: number): void {
    this.device.write(0, offset, 4, BigInt(value >>> 0));
  }

  load(offset: number): number {
    return Number(this.device.read(0, offset, 4));
  }

  enable(): void {
    this.store(0x24, ((ENTRIES - 1) << 16) | (ENTRIES - 1));
    this.device.write(0, 0x28, 8, BigInt(ADMIN_SQ));
    this.device.write(0, 0x30, 8, BigInt(ADMIN_CQ));
    this.store(0x14, 0x0046_0001);
    assert.equal(this.load(0x1c), 0, 'ready before it had time');
    this.settle();
    assert.equal(this.load(0x1c) & 3, 1);
  }

  /** Puts a command into a queue; `dwords` by their number. */
  submit(queue: 0 | 1, dwords: Readonly<Record<number, number>>): number {
    const state = this.#queues[queue];
    const commandId = this.#commandId++;
    const at = state.sq + 64 * state.tail;
    this.memory.fill(0, at, at + 64);
    for (const [i, value] of Object.entries(dwords))
      this.view.setUint32(at + 4 * Number(i), value >>> 0, true);
    this.view.setUint16(at + 2, commandId, true);
    (state as { tail: number }).tail = (state.tail + 1) % ENTRIES;
    this.store(0x1000 + 8 * queue, state.tail);
    this.settle();
    return commandId;
  }

  completion(
    queue: 0 | 1,
  ): { readonly commandId: number; readonly status: number; readonly result: number } | undefined {
    const state = this.#queues[queue] as { cq: number; head: number; phase: number };
    const at = state.cq + 16 * state.head;
    const status = this.view.getUint16(at + 14, true);
    if ((status & 1) !== state.phase) return undefined;
    state.head = (state.head + 1) % ENTRIES;
    if (state.head === 0) state.phase ^= 1;
    const answer = {
      commandId: this.view.getUint16(at + 12, true),
      status: (status >>> 1) & 0x7ff,
      result: this.view.getUint32(at, true),
    };
    this.store(0x1004 + 8 * queue, state.head);
    this.settle();
    return answer;
  }

  run(
    queue: 0 | 1,
    dwords: Readonly<Record<number, number>>,
  ): { readonly status: number; readonly result: number } {
    const commandId = this.submit(queue, dwords);
    const done = this.completion(queue);
    assert.ok(done, 'no completion');
    assert.equal(done.commandId, commandId);
    return done;
  }

  createQueues(vector = 1): void {
    assert.equal(
      this.run(0, { 0: 0x05, 6: IO_CQ, 10: ((ENTRIES - 1) << 16) | 1, 11: (vector << 16) | 3 }).status,
      0,
    );
    assert.equal(
      this.run(0, { 0: 0x01, 6: IO_SQ, 10: ((ENTRIES - 1) << 16) | 1, 11: (1 << 16) | 1 }).status,
      0,
    );
  }

  io(opcode: number, block: number, blocks: number, prp1: number, prp2 = 0): number {
    return this.run(1, { 0: opcode, 1: 1, 6: prp1, 8: prp2, 10: block, 12: blocks - 1 }).status;
  }
}

test('identify tells of one namespace', () => {
  const machine = new Machine();
  machine.enable();
  assert.equal(machine.run(0, { 0: 0x06, 6: BUFFER, 10: 1 }).status, 0);
  assert.equal(machine.view.getUint32(BUFFER + 516, true), 1);
  assert.equal(Buffer.from(machine.memory.subarray(BUFFER + 4, BUFFER + 17)).toString(), 'vfiotape-0001');
  assert.equal(machine.run(0, { 0: 0x06, 1: 1, 6: BUFFER, 10: 0 }).status, 0);
  assert.equal(machine.view.getBigUint64(BUFFER, true), 2048n);
  assert.equal(machine.view.getUint8(BUFFER + 130), 9);
  assert.equal(machine.run(0, { 0: 0x06, 1: 7, 6: BUFFER, 10: 0 }).status, 0x00b);
  assert.equal(machine.run(0, { 0: 0x06, 6: BUFFER, 10: 0x42 }).status, 0x002);
});

test('what was written is read, by two pages and by a list, and interrupts its vector', () => {
  const machine = new Machine();
  machine.enable();
  machine.createQueues(3);
  machine.sent.length = 0;
  for (let i = 0; i < 0x4000; i++) machine.memory[BUFFER + i] = (i * 31) & 0xff;
  // 16 KiB from an offset into the first page: the list has the rest.
  const at = BUFFER + 0x200;
  for (let i = 0; i < 4; i++)
    machine.view.setBigUint64(LIST + 8 * i, BigInt(BUFFER + 0x1000 * (i + 1)), true);
  const wanted = machine.memory.slice(at, at + 0x4000);
  assert.equal(machine.io(0x01, 10, 32, at, LIST), 0);
  machine.memory.fill(0, BUFFER, BUFFER + 0x8000);
  assert.equal(machine.io(0x02, 10, 16, BUFFER, BUFFER + 0x1000), 0);
  assert.deepEqual(machine.memory.slice(BUFFER, BUFFER + 0x2000), wanted.slice(0, 0x2000));
  assert.deepEqual(machine.sent, [3, 3]);
  assert.equal(machine.io(0x05, 10, 8, BUFFER), 0, 'compare of the same');
  machine.memory[BUFFER] = (machine.memory[BUFFER] as number) ^ 1;
  assert.equal(machine.io(0x05, 10, 8, BUFFER), 0x285);
  assert.equal(machine.io(0x08, 10, 8, 0), 0);
  assert.equal(machine.io(0x02, 10, 8, BUFFER), 0);
  assert.ok(machine.memory.subarray(BUFFER, BUFFER + 4096).every((byte) => byte === 0));
});

test('errors are those of the specification', () => {
  const machine = new Machine();
  machine.enable();
  machine.createQueues();
  assert.equal(machine.io(0x02, 2047, 2, BUFFER), 0x080, 'beyond the end');
  assert.equal(machine.io(0x7f, 0, 1, BUFFER), 0x001);
  assert.equal(machine.io(0x02, 0, 8, BUFFER + 1), 0x013, 'misaligned PRP');
  assert.equal(machine.io(0x02, 0, 16, BUFFER, BUFFER + 0x1004), 0x013);
  assert.equal(machine.io(0x02, 0, 8, MEMORY), 0x004, 'memory that there is not');
  assert.equal(machine.run(1, { 0: 0x02, 1: 2, 6: BUFFER }).status, 0x00b);
  assert.equal(machine.run(1, { 0: 0x4002, 1: 1, 6: BUFFER }).status, 0x002, 'SGL');
  assert.equal(
    machine.run(0, { 0: 0x05, 6: IO_CQ, 10: ((ENTRIES - 1) << 16) | 1, 11: 1 }).status,
    0x101,
    'in use',
  );
  assert.equal(machine.run(0, { 0: 0x04, 10: 1 }).status, 0x10c, 'its submission queue is there');
  assert.equal(machine.run(0, { 0: 0x01, 6: IO_SQ, 10: (7 << 16) | 2, 11: (9 << 16) | 1 }).status, 0x100);
  assert.equal(machine.run(0, { 0: 0x05, 6: IO_CQ, 10: (7 << 16) | 2, 11: (65 << 16) | 1 }).status, 0x108);
  assert.equal(machine.run(0, { 0: 0x09, 10: 0x8000_0006, 11: 1 }).status, 0x10d);
  assert.equal(machine.run(0, { 0: 0x09, 10: 7, 11: 0x0001_0001 }).status, 0x00c, 'queues exist already');
  assert.equal(machine.run(0, { 0: 0x02, 6: BUFFER, 10: 0x7f }).status, 0x109);
  // The error log has the last one first.
  assert.equal(machine.run(0, { 0: 0x02, 1: 0xffff_ffff, 6: BUFFER, 10: (15 << 16) | 1 }).status, 0);
  assert.equal((machine.view.getUint16(BUFFER + 12, true) >>> 1) & 0x7ff, 0x109);
});

test('features keep what they are set to, and number of queues is granted', () => {
  const machine = new Machine();
  machine.enable();
  assert.equal(machine.run(0, { 0: 0x09, 10: 7, 11: 0x0100_0003 }).result, 0x003f_0003);
  assert.equal(machine.run(0, { 0: 0x0a, 10: 7 }).result, 0x003f_0003);
  assert.equal(machine.run(0, { 0: 0x09, 10: 6, 11: 0 }).status, 0);
  assert.equal(machine.run(0, { 0: 0x0a, 10: 6 }).result, 0);
  assert.equal(machine.run(0, { 0: 0x0a, 10: 0x106 }).result, 1, 'the default');
  assert.equal(machine.run(0, { 0: 0x0a, 10: 0x42 }).status, 0x002);
});

test('a bad doorbell is an event; an event request can be aborted', () => {
  const machine = new Machine();
  machine.enable();
  const request = machine.submit(0, { 0: 0x0c });
  assert.equal(machine.completion(0), undefined);
  machine.store(0x1000 + 8 * 5, 1);
  assert.deepEqual(machine.completion(0), { commandId: request, status: 0, result: 0x0001_0000 });
  const second = machine.submit(0, { 0: 0x0c });
  machine.submit(0, { 0: 0x08, 10: second << 16 });
  assert.deepEqual(machine.completion(0), { commandId: second, status: 0x007, result: 0 });
  assert.equal(machine.completion(0)?.result, 0);
});

test('the pin is up until the completions are taken, and INTMS holds it down', () => {
  const machine = new Machine();
  machine.messages = 'none';
  machine.enable();
  machine.createQueues(0);
  machine.submit(1, { 0: 0x00, 1: 1 });
  assert.equal(machine.pin, true);
  machine.store(0x0c, 1);
  assert.equal(machine.pin, false);
  machine.store(0x10, 1);
  assert.equal(machine.pin, true);
  assert.equal(machine.completion(1)?.status, 0);
  assert.equal(machine.pin, false);
});

test('a full completion queue stops the submission queue until there is room', () => {
  const machine = new Machine();
  machine.enable();
  machine.createQueues();
  for (let i = 0; i < ENTRIES - 1; i++) machine.submit(1, { 0: 0x00, 1: 1 });
  machine.submit(1, { 0: 0x00, 1: 1 });
  for (let i = 0; i < ENTRIES; i++) assert.equal(machine.completion(1)?.status, 0, `completion ${i}`);
  assert.equal(machine.completion(1), undefined);
});

test('disabling forgets queues; a bad configuration is fatal until disabled', () => {
  const machine = new Machine();
  machine.enable();
  machine.createQueues();
  machine.store(0x14, 0);
  assert.equal(machine.load(0x1c), 0);
  machine.device.write(0, 0x28, 8, 0x1000n);
  machine.store(0x24, 0);
  machine.store(0x14, 0x0046_0001);
  machine.settle();
  assert.equal(machine.load(0x1c), 2);
  machine.store(0x14, 0);
  assert.equal(machine.load(0x1c), 0);
  machine.store(0x14, 0x4000);
  assert.equal(machine.load(0x1c) & 0xc, 8, 'shutdown is complete');
});

test('blocks live in a file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-nvme-'));
  try {
    const path = join(directory, 'disk');
    writeFileSync(path, new Uint8Array(8192));
    const machine = new Machine(new FileStorage(path));
    machine.enable();
    machine.createQueues();
    machine.memory.fill(0x5a, BUFFER, BUFFER + 512);
    assert.equal(machine.io(0x01, 3, 1, BUFFER), 0);
    assert.equal(machine.run(1, { 0: 0x00, 1: 1 }).status, 0);
    machine.device.close();
    const bytes = readFileSync(path);
    assert.ok(bytes.subarray(1536, 2048).every((byte) => byte === 0x5a));
    assert.equal(bytes[1535], 0);
    assert.throws(() => new FileStorage(join(directory, 'missing')), /cannot open/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
