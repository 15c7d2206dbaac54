// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../../abi/package-root.js';
import { UserError } from '../../../abi/user-error.js';
import { RecordedSession } from '../../../session/fixtures.js';
import { EventFlag, EventKind } from '../../../traces/model.js';
import { openTrace, type Trace } from '../../../traces/reader.js';
import type { DmaWindow, Host } from '../device.js';
import { ConfigSpace } from '../pci/config-space.js';
import { accessPieces, transferPieces } from './accesses.js';
import { identify, recordedDevices } from './identity.js';
import { type LivePiece, RecordedMemory } from './memory.js';
import { RecordedDevice } from './recorded.js';
import { readScript } from './script.js';

const corpus = join(packageRoot(), 'traces/corpus');
const files = readdirSync(corpus, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.vtape'),
);

const host: Host = {
  dmaRead: () => false,
  dmaWrite: () => true,
  windows: [],
  message: () => undefined,
  intx: () => undefined,
  messages: 'none',
  reset: () => undefined,
  remove: () => undefined,
  administer: () => undefined,
  defer: () => undefined,
};

for (const file of files) {
  test(`${file}: the device is who it was, and its script is read to the end`, () => {
    const trace = openTrace(join(corpus, file));
    for (const objects of recordedDevices(trace).values()) {
      const { definition, pci } = identify(trace, objects);
      assert.deepEqual(
        [pci.vendor, pci.device, pci.classCode, pci.revision],
        [definition.vendor, definition.device, definition.classCode, definition.revision],
      );
      const config = new ConfigSpace(pci);
      const sure = definition.config.subarray(0, 256);
      // But for what software sets: command, status, BARs' addresses, enable bits and what lies in capabilities beyond them.
      for (const at of [0, 1, 2, 3, 8, 9, 10, 11, 0x2c, 0x2d, 0x34, 0x3d])
        if (at < sure.length) assert.equal(config.bytes[at], sure[at], `config byte ${at}`);
      for (const { index, size } of definition.resources)
        if (index < 6) assert.equal(BigInt(pci.bars[index]?.size ?? 0), size, `BAR${index}`);
      let steps = 0;
      let last = -1;
      for (const step of readScript(trace, { objects, isTable: () => false })) {
        steps++;
        if (step.what !== 'interrupt' && step.what !== 'dma') {
          assert.ok(step.event >= last);
          last = step.event;
        }
      }
      assert.ok(steps > 0);
    }
    trace.close();
  });
}

/** Memory by IOVA, as the driver of the recording had it mapped. */
class DriverMemory {
  windows: DmaWindow[] = [];
  readonly #bytes = new Map<bigint, number>();

  read(iova: bigint, into: Uint8Array): boolean {
    for (let i = 0; i < into.length; i++) into[i] = this.#bytes.get(iova + BigInt(i)) ?? 0;
    return true;
  }

  write(iova: bigint, from: Uint8Array): boolean {
    from.forEach((byte, i) => void this.#bytes.set(iova + BigInt(i), byte));
    return true;
  }
}

/** Does what was recorded, and then anything. */
function drive(trace: Trace, objects: ReadonlySet<number>): number {
  const device = new RecordedDevice(trace, { objects, stops: false, onDeparture: () => undefined });
  const memory = new DriverMemory();
  device.attach({
    ...host,
    get windows() {
      return memory.windows;
    },
    dmaRead: (iova, into) => memory.read(iova, into),
    dmaWrite: (iova, from) => memory.write(iova, from),
  });
  let departed = 0;
  for (const step of readScript(trace, { objects, isTable: () => false })) {
    if (step.what === 'read') device.read(step.region, step.offset, step.width);
    if (step.what === 'write') device.write(step.region, step.offset, step.width, step.value ?? 0n);
    if (step.what === 'config-read') device.driver.configRead(step.offset, step.bytes.slice());
    if (step.what === 'config-write') device.driver.configWrite(step.offset, step.bytes);
    if (step.what === 'irqs') device.driver.setIrqs(step.request);
    if (step.what === 'reset') device.driver.reset();
    if (step.what === 'map') memory.windows = [...memory.windows, { iova: step.iova, size: step.size }];
    if (step.what === 'unmap') memory.windows = memory.windows.filter(({ iova }) => iova !== step.iova);
    if (step.what === 'dma' && (step.op === 'fill' || step.op === 'held'))
      memory.write(step.iova, step.bytes);
  }
  departed += device.finish().departed;
  return departed;
}

test('a driver that does what the corpus’s drivers did never leaves the script', () => {
  for (const file of files.filter((name) => !name.startsWith('dpdk'))) {
    const trace = openTrace(join(corpus, file));
    for (const [bdf, objects] of recordedDevices(trace))
      assert.equal(drive(trace, objects), 0, `${file} ${bdf}`);
    trace.close();
  }
});

test('a trace that is cut off anywhere, or changed, is played as far as it goes, or refused in one line', () => {
  const bytes = readFileSync(join(corpus, files.find((name) => name.startsWith('edu')) as string));
  const variants = Array.from({ length: 60 }, (_, n) =>
    bytes.subarray(0, Math.floor((bytes.length * n) / 60)),
  );
  for (let n = 0; n < 60; n++) {
    const damaged = Uint8Array.from(bytes);
    damaged[(n * 7919) % bytes.length] = (damaged[(n * 7919) % bytes.length] ?? 0) ^ (1 << (n % 8));
    variants.push(damaged as never);
  }
  for (const variant of variants) {
    let trace: Trace;
    try {
      trace = openTrace(variant);
    } catch {
      continue;
    }
    for (const objects of recordedDevices(trace).values()) {
      try {
        drive(trace, objects);
      } catch (error) {
        assert.ok(error instanceof UserError, String(error));
        assert.ok(!error.message.includes('\n'));
      }
    }
  }
});

test('what a device does in the far future waits for it, and the driver does not wait for that', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  const many = 70_000;
  const dma = { kind: EventKind.DMA, object: device.object, value: 0n };
  s.after(1e12);
  for (let n = 0; n < many; n++) s.event({ ...dma, offset: BigInt(n) });
  s.after(-1e12);
  for (let n = 0; n < many; n++) s.load(device, 0, 0x1c, 4, BigInt(n));
  const trace = await s.trace();
  const [objects] = recordedDevices(trace).values();
  assert.ok(objects !== undefined);
  const steps = [...readScript(trace, { objects, isTable: () => false })];
  const places = steps.flatMap((step) => (step.what === 'dma' ? [step.iova] : []));
  assert.deepEqual(
    places,
    Array.from({ length: many }, (_, n) => BigInt(n)),
  );
  const firstRead = steps.findIndex(({ what }) => what === 'read');
  assert.equal(firstRead, many - 65536, 'so many wait');
  assert.equal(steps.slice(firstRead, firstRead + many).filter(({ what }) => what === 'read').length, many);
});

test('nonsense of a hostile trace is no step, and no crash', async () => {
  const session = new RecordedSession();
  const { device } = session.openNvme();
  const far = 2n ** 63n;
  session.load(device, 0, Number.MAX_SAFE_INTEGER, 4, 1n);
  session.load(device, 99, 0, 255, far);
  session.store(device, 0, 3, 7, far);
  const trace = await session.trace();
  const [objects] = recordedDevices(trace).values();
  assert.ok(objects !== undefined);
  assert.equal(drive(trace, objects), 0);
});

test('what the recorder did not see of a store is not held against a driver', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme();
  const unseen = { object: device.object, flags: EventFlag.UNKNOWN };
  s.store(device, 0, 0x24, 4, 1).load(device, 0, 0x24, 4, 1);
  s.event({ ...unseen, kind: EventKind.STORE, op: 64 << 8, offset: 0x1000n });
  s.event({ ...unseen, kind: EventKind.UPDATE, op: 4 << 8, offset: 0x24n, value: 5n });
  s.event({ ...unseen, kind: EventKind.LOAD, op: 4 << 8, offset: 0x28n });
  s.store(device, 0, 0x14, 4, 2);
  const trace = await s.trace();
  const [objects] = recordedDevices(trace).values();
  assert.ok(objects !== undefined);
  const played = new RecordedDevice(trace, { objects, stops: false, onDeparture: () => undefined });
  played.attach(host);
  played.write(0, 0x24, 4, 1n);
  assert.equal(played.read(0, 0x24, 4), 1n);
  for (let at = 0; at < 64; at += 8) played.write(0, 0x1000 + at, 8, 0x1234n);
  assert.equal(played.read(0, 0x24, 4), 1n, 'the last value');
  played.write(0, 0x24, 4, 6n);
  played.write(0, 0x14, 4, 2n);
  assert.deepEqual(played.finish().departures, []);
});

test('accesses are cut as the device meets them', () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const shapes = (pieces: readonly { offset: number; width: number }[]): string =>
    pieces.map(({ offset, width }) => `${offset}/${width}`).join(' ');
  assert.equal(shapes(transferPieces(4, bytes.subarray(0, 7))), '4/4 8/2 10/1');
  assert.equal(shapes(transferPieces(8, bytes)), '8/8 16/8');
  assert.equal(shapes(accessPieces(4, bytes.subarray(0, 8))), '4/4 8/4');
  assert.equal(shapes(accessPieces(0, bytes)), '0/8 8/8');
  assert.equal(shapes(accessPieces(2, bytes.subarray(0, 4))), '2/1 3/1 4/1 5/1');
  assert.deepEqual(
    accessPieces(0, bytes).map(({ value }) => value),
    [0x0807060504030201n, 0x100f0e0d0c0b0a09n],
  );
});

test('memory is found by mapping and offset, not by address', () => {
  const space = { object: 1, ioas: 0 };
  const memory = new RecordedMemory();
  memory.map(space, 0x1000n, 0x1000n);
  memory.map(space, 0x10_0000n, 0x2000n);
  memory.map(space, 0x8000n, 0x1000n);
  const windows: readonly DmaWindow[] = [
    { iova: 0x7f00_0000_0000n, size: 0x1000n },
    { iova: 0x7f11_0000_0000n, size: 0x1000n },
    { iova: 0x1_2000n, size: 0x2000n },
  ];
  memory.look(windows);
  assert.deepEqual(memory.locate(space, 0x1010n, 4), [{ iova: 0x7f00_0000_0010n, from: 0, length: 4 }]);
  assert.deepEqual(memory.locate(space, 0x8ffcn, 4), [{ iova: 0x7f11_0000_0ffcn, from: 0, length: 4 }]);
  assert.match(memory.locate(space, 0x9000n, 4) as string, /0x9000 was not mapped in the recording/);
  assert.match(memory.locate(space, 0x1ff0n, 32) as string, /0x2000 was not mapped/);
  assert.ok(memory.sameNumber(0x8010n, 0x7f11_0000_0010n, 8));
  assert.ok(!memory.sameNumber(0x8010n, 0x7f11_0000_0011n, 8));
  assert.ok(memory.sameNumber(0x8010n, 0x0000_0010n, 4), 'the low half of an address');
  const words = (...values: bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(values).buffer);
  assert.ok(memory.sameBytes(words(1n, 0x10_0008n), words(1n, 0x1_2008n)));
  assert.ok(!memory.sameBytes(words(1n, 0x10_0008n), words(2n, 0x1_2008n)));
  memory.unmap(space, 0x1000n, 0x1000n);
  memory.look(windows.slice(1));
  assert.deepEqual(memory.locate(space, 0x8000n, 8), [{ iova: 0x7f11_0000_0000n, from: 0, length: 8 }]);
});

test('tens of thousands of mappings: each is found, and numbers that differ are soon known to differ', () => {
  const space = { object: 1, ioas: 0 };
  const other = { object: 2, ioas: 0 };
  const memory = new RecordedMemory();
  const many = 30_000;
  const [page, now] = [0x1000n, 0x7f00_0000_0000n];
  const recorded = (n: number): bigint => BigInt(n) * 2n * page;
  for (let n = 0; n < many; n++) memory.map(space, recorded(n), page);
  memory.map(other, 0x10n * page, 0x100n * page);
  const windows = Array.from({ length: many }, (_, n) => ({ iova: now + BigInt(n) * 3n * page, size: page }));
  memory.look(windows);
  for (let n = 0; n < many; n += 7) {
    const [{ iova } = { iova: 0n }] = memory.locate(space, recorded(n) + 8n, 4) as readonly LivePiece[];
    assert.equal(iova, now + BigInt(n) * 3n * page + 8n);
    assert.ok(memory.sameNumber(recorded(n) + page, now + BigInt(n) * 3n * page + page, 8), 'just behind it');
    assert.ok(memory.sameNumber(recorded(n) + 8n, iova & 0xffff_ffffn, 4));
    assert.ok(!memory.sameNumber(recorded(n) + page + 8n, 1n, 4));
  }
  for (let n = 0; n < 1000; n++) assert.ok(!memory.sameNumber(0n, BigInt(n) + 5n, 4));
  assert.ok(memory.sameNumber(0n, 0x7f00n, 4), 'the upper half');
  assert.equal(typeof memory.locate(other, 0x10n * page, 4), 'string');
  // One by one, and then all that is left.
  for (let n = 0; n < many; n += 3) memory.unmap(space, recorded(n), page);
  memory.look(windows.filter((_, n) => n % 3 !== 0));
  assert.match(memory.locate(space, recorded(3), 4) as string, /was not mapped/);
  assert.deepEqual(memory.locate(space, recorded(many - 1), 4), [
    { iova: now + BigInt(many - 1) * 3n * page, from: 0, length: 4 },
  ]);
  memory.map(space, recorded(1) + 0x800n, page);
  assert.match(memory.locate(space, recorded(1), 4) as string, /was not mapped/, 'something took its place');
  memory.unmap(space, 0n, 2n ** 64n);
  assert.match(memory.locate(space, recorded(2), 4) as string, /was not mapped/);
});
