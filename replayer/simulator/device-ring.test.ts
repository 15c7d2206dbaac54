// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CONTROL_BYTES,
  ControlField,
  controlFile,
  RECORD_BYTES,
  RecordField,
  RecordKind,
  RING_HEADER_BYTES,
  RingField,
  ringFile,
  SEGMENT_BYTES,
  SegmentField,
  SessionState,
  WhenFull,
} from '../../abi/wire/record.js';
import { DeviceRing } from './device-ring.js';

const RECORDS_LOG2 = 3;
const SIDE_LOG2 = 12;
const BDF = '0000:01:02.3';

function session(whenFull: number): {
  readonly directory: string;
  readonly write: (at: number, value: number) => void;
} {
  const directory = mkdtempSync(join(tmpdir(), 'vfiotape-ring-'));
  const control = new Uint8Array(CONTROL_BYTES);
  const view = new DataView(control.buffer);
  view.setUint32(ControlField.recordsLog2, RECORDS_LOG2, true);
  view.setUint32(ControlField.sideLog2, SIDE_LOG2, true);
  view.setUint32(ControlField.whenFull, whenFull, true);
  const fd = openSync(join(directory, controlFile), 'w+');
  writeSync(fd, control);
  const write = (at: number, value: number): void => {
    const word = new Uint8Array(4);
    new DataView(word.buffer).setUint32(0, value, true);
    writeSync(fd, word, 0, 4, at);
  };
  return { directory, write };
}

function ringBytes(directory: string): DataView {
  const bytes = new Uint8Array(RING_HEADER_BYTES + RECORD_BYTES * 2 ** RECORDS_LOG2 + 2 ** SIDE_LOG2);
  readSync(openSync(join(directory, ringFile(0)), 'r'), bytes, 0, bytes.length, 0);
  return new DataView(bytes.buffer);
}

function give(directory: string, records: number, side: number): void {
  const pair = (value: number): Uint8Array =>
    new Uint8Array(BigInt64Array.of(BigInt(value), ~BigInt(value)).buffer);
  const fd = openSync(join(directory, ringFile(0)), 'r+');
  writeSync(fd, pair(records), 0, 16, RingField.tail);
  writeSync(fd, pair(side), 0, 16, RingField.sideTail);
}

test('what is written is in the slots, its bytes in the side ring, however often both have gone round', () => {
  const { directory } = session(WhenFull.BLOCK);
  const ring = new DeviceRing(directory, 0);
  for (let n = 0; n < 100; n++) {
    const data = new Uint8Array(n * 7).fill(n);
    ring.dma(BDF, 0x1000n + BigInt(n), data, data.length, n % 2 === 1, ring.now());
    const view = ringBytes(directory);
    const head = Number(view.getBigUint64(RingField.head, true));
    const sideHead = Number(view.getBigUint64(RingField.sideHead, true));
    if (n > 0) {
      const at = RING_HEADER_BYTES + ((head - 1) % 8) * RECORD_BYTES;
      assert.equal(view.getUint8(at + RecordField.kind), RecordKind.DMA);
      assert.equal(view.getUint16(at + RecordField.lap, true), Math.floor((head - 1) / 8) + 1);
      assert.equal(view.getBigUint64(at + RecordField.offset, true), 0x1000n + BigInt(n));
      assert.equal(view.getBigInt64(at + RecordField.result, true), BigInt(n * 7));
      assert.equal(view.getUint32(at + RecordField.op, true), n % 2);
      assert.equal(view.getUint32(at + RecordField.object, true), 0x0113);
      if (n * 7 > 8) {
        const chain = (view.getUint32(at + RecordField.payload, true) * 8) % 2 ** SIDE_LOG2;
        const start = RING_HEADER_BYTES + 8 * RECORD_BYTES + chain;
        assert.equal(view.getUint32(start + SegmentField.length, true), n * 7);
        assert.deepEqual(new Uint8Array(view.buffer, start + SEGMENT_BYTES, n * 7), data);
      }
    }
    give(directory, head, sideHead);
  }
  rmSync(directory, { recursive: true });
});

test('an access is cut where the side ring is small, and where the IOMMU stopped it', () => {
  const { directory } = session(WhenFull.BLOCK);
  const ring = new DeviceRing(directory, 0);
  ring.dma(BDF, 0x8000n, new Uint8Array(2000), 1500, true, ring.now());
  const view = ringBytes(directory);
  const rows = [0, 1, 2].map((n) => {
    const at = RING_HEADER_BYTES + n * RECORD_BYTES;
    const field = (offset: number): bigint => view.getBigInt64(at + offset, true);
    return [
      field(RecordField.offset),
      field(RecordField.result),
      Number(field(RecordField.siteErrno) >> 48n),
    ];
  });
  assert.deepEqual(rows, [
    [0x8000n, 1008n, 0],
    [0x8000n + 1008n, 492n, 0],
    [0x8000n + 1500n, -1n, 14],
  ]);
  rmSync(directory, { recursive: true });
});

test('when the ring is full events are lost and counted, or a stopped session is not waited for', () => {
  for (const whenFull of [WhenFull.DROP, WhenFull.BLOCK]) {
    const { directory, write } = session(whenFull);
    const ring = new DeviceRing(directory, 0);
    write(ControlField.state, whenFull === WhenFull.BLOCK ? SessionState.STOPPED : SessionState.RECORDING);
    for (let n = 0; n < 11; n++) ring.interrupt(BDF, 'msix', n, true);
    const view = ringBytes(directory);
    assert.equal(view.getBigUint64(RingField.head, true), 8n);
    assert.equal(view.getBigUint64(RingField.lost, true), 3n);
    rmSync(directory, { recursive: true });
  }
});
