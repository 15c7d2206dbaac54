// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { BAR_001 } from './bar-001-region-info.js';
import { BAR_002 } from './bar-002-mappable.js';
import { BAR_003 } from './bar-003-sparse-areas.js';
import { BAR_004 } from './bar-004-within-size.js';
import { BAR_005 } from './bar-005-aligned.js';
import { BAR_006 } from './bar-006-plain-accesses.js';
import { BAR_007 } from './bar-007-rom.js';
import { BAR_008 } from './bar-008-whole-registers.js';
import { BAR_009 } from './bar-009-gone.js';
import { BAR_010 } from './bar-010-flush.js';
import { BAR_011 } from './bar-011-protection.js';
import { BAR_012 } from './bar-012-queue-before-doorbell.js';

function nvme() {
  const s = new RecordedSession();
  return { s, ...s.openNvme() };
}

test('BAR-001: a region by its number alone', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.map(device, 2, 0x1000n);
  s.map(device, 0, 0x4000n);
  assert.deepEqual(await judge(BAR_001, s), ['note', `note BAR2 @${at}`]);
});

test('BAR-001: every region was asked for', async () => {
  const { s, device } = nvme();
  s.map(device, 0, 0x4000n);
  s.configRead(device, 0, 2, 0x1b36).regionRead(device, 0, 0, 4, 0);
  assert.deepEqual(await judge(BAR_001, s), ['pass']);
});

test('BAR-001: what was asked before the recording began is not known', async () => {
  const s = new RecordedSession();
  s.configRead(s.unseenDevice(), 0, 2, 0x1b36);
  assert.deepEqual(await judge(BAR_001, s), ['unknown']);
});

test('BAR-002: refused, and the driver goes on', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 2, { size: 0x1000n, flags: 3 });
  const at = s.next;
  s.map(device, 2, 0x1000n, { errno: 22 });
  s.configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(BAR_002, s), ['fail', `error BAR2 the region lacks the MMAP flag @${at}`]);
});

test('BAR-002: each reason', async () => {
  const reasons: (readonly [Parameters<RecordedSession['map']>[3], bigint, string])[] = [
    [{ flags: 2, errno: 22 }, 0x4000n, 'it is not MAP_SHARED'],
    [{ offset: 0x10n, errno: 22 }, 0x1000n, 'its offset is no whole page'],
    [{ errno: 22 }, 0x5000n, 'it reaches past the end of the region'],
  ];
  for (const [options, length, why] of reasons) {
    const { s, device } = nvme();
    const at = s.next;
    s.map(device, 0, length, options);
    s.load(device, 0, 0, 4, 0);
    assert.deepEqual(await judge(BAR_002, s), ['fail', `error BAR0 ${why} @${at}`]);
  }
});

test('BAR-002: a try that is given up is a note', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.map(device, 0, 0x5000n, { errno: 22 });
  s.map(device, 0, 0x4000n);
  s.load(device, 0, 0, 4, 0);
  assert.deepEqual(await judge(BAR_002, s), [
    'note',
    `note BAR0 it reaches past the end of the region @${at}`,
  ]);
});

test('BAR-002: a mapping that failed for another reason is not its business', async () => {
  const { s, device } = nvme();
  s.map(device, 0, 0x4000n, { errno: 12 });
  assert.deepEqual(await judge(BAR_002, s), ['pass']);
});

/** A SPARSE_MMAP capability. */
function sparse(...areas: readonly (readonly [bigint, bigint])[]): Uint8Array {
  const bytes = new Uint8Array(16 + areas.length * 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 1, true);
  view.setUint16(2, 1, true);
  view.setUint32(8, areas.length, true);
  areas.forEach(([offset, size], i) => {
    view.setBigUint64(16 + i * 16, offset, true);
    view.setBigUint64(24 + i * 16, size, true);
  });
  return bytes;
}

test('BAR-003: a mapping over the gap between two areas', async () => {
  const { s, device } = nvme();
  const info = s.next;
  s.regionInfo(device, 2, { size: 0x4000n, capabilities: sparse([0n, 0x1000n], [0x3000n, 0x1000n]) });
  const at = s.next;
  s.map(device, 2, 0x4000n);
  assert.deepEqual(await judge(BAR_003, s), ['fail', `error BAR2 @${at},${info}`]);
});

test('BAR-003: each area, two that touch, and a region without the capability', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 2, { size: 0x4000n, capabilities: sparse([0x1000n, 0x1000n], [0n, 0x1000n]) });
  s.map(device, 2, 0x1000n, { offset: 0x1000n });
  s.map(device, 2, 0x2000n);
  s.map(device, 0, 0x4000n);
  s.map(device, 2, 0x4000n, { errno: 22 });
  assert.deepEqual(await judge(BAR_003, s), ['pass']);
});

test('BAR-004: behind the end, also by a part of the access', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 2, { size: 0x100n });
  const at = s.next;
  s.load(device, 2, 0x200, 4, 0).store(device, 2, 0xfe, 4, 0);
  assert.deepEqual(await judge(BAR_004, s), [
    'fail',
    `error BAR2+0x200 @${at}`,
    `error BAR2+0xfe @${at + 1}`,
  ]);
});

test('BAR-004: the last bytes', async () => {
  const { s, device } = nvme();
  s.load(device, 0, 0x3ffc, 4, 0);
  assert.deepEqual(await judge(BAR_004, s), ['pass']);
});

test('BAR-004: without the size nobody knows, and without loads and stores neither', async () => {
  const { s, device } = nvme();
  s.load(device, 4, 0, 4, 0);
  assert.deepEqual(await judge(BAR_004, s), ['unknown']);
  const off = new RecordedSession({ mmio: 'off' });
  off.openNvme();
  assert.deepEqual(await judge(BAR_004, off), ['unknown']);
});

test('BAR-005: not aligned, and two registers at once', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.store(device, 0, 0x1001, 4, 0).load(device, 0, 0x08, 8, 0).load(device, 0, 0x08, 8, 0);
  assert.deepEqual(await judge(BAR_005, s), [
    'fail',
    `warning store BAR0+0x1001/4 @${at}`,
    `warning load BAR0+0x8/8 x2 @${at + 1},${at + 2}`,
  ]);
});

test('BAR-005: halves of a 64-bit register, and bytes', async () => {
  const { s, device } = nvme();
  s.load(device, 0, 0, 4, 0).load(device, 0, 4, 4, 0).load(device, 0, 0, 8, 0).load(device, 0, 3, 1, 0);
  s.store(device, 0, 0x28, 4, 0).store(device, 0, 0x2c, 4, 0);
  assert.deepEqual(await judge(BAR_005, s), ['pass']);
});

test('BAR-006: a vector store to registers', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.store(device, 0, 0x20, 16, 0).store(device, 2, 0, 32, 0);
  assert.deepEqual(await judge(BAR_006, s), [
    'fail',
    `warning store BAR0 NSSR @${at}`,
    `note store BAR2  @${at + 1}`,
  ]);
});

test('BAR-006: a prefetchable BAR is memory', async () => {
  const s = new RecordedSession();
  const { device } = s.openNvme({ resources: [{ index: 0, size: 0x4000n, flags: 0x14_2204n }] });
  s.store(device, 0, 0x3000, 64, 0);
  assert.deepEqual(await judge(BAR_006, s), ['pass']);
});

test('BAR-007: a write of the ROM, and a region of no size', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 6, { size: 0x1_0000n, flags: 1 }).regionInfo(device, 3, { size: 0n, flags: 0 });
  const at = s.next;
  s.regionWrite(device, 6, 0, 4, 0, 22).regionRead(device, 3, 0, 4, 0, 22);
  assert.deepEqual(await judge(BAR_007, s), ['fail', `error write ROM @${at}`, `error read BAR3 @${at + 1}`]);
});

test('BAR-007: the ROM is read', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 6, { size: 0x1_0000n, flags: 1 }).regionRead(device, 6, 0, 4, 0xaa55);
  assert.deepEqual(await judge(BAR_007, s), ['pass']);
});

test('BAR-008: three bytes, and four at an odd place', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.regionRead(device, 0, 0x10, 3, 0).regionWrite(device, 0, 0x12, 4, 0);
  assert.deepEqual(await judge(BAR_008, s), [
    'note',
    `note read BAR0+0x10/3 @${at}`,
    `note write BAR0+0x12/4 @${at + 1}`,
  ]);
});

test('BAR-008: one register, and config space is another matter', async () => {
  const { s, device } = nvme();
  s.regionRead(device, 0, 0x10, 4, 0).configRead(device, 0, 64, new Uint8Array(64));
  assert.deepEqual(await judge(BAR_008, s), ['pass']);
});

test('BAR-009: an access that never completed', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.fatal(device, 'load', 0, 0x1c, 4).signal(7);
  assert.deepEqual(await judge(BAR_009, s), ['fail', `error load BAR0+0x1c @${at}`]);
});

test('BAR-009: a SIGSEGV where a BAR had been', async () => {
  const { s, device } = nvme();
  const address = s.map(device, 0, 0x4000n);
  s.load(device, 0, 0x1c, 4, 0);
  s.unmap(address, 0x4000n);
  const at = s.next;
  s.signal(11, address + 0x1cn);
  assert.deepEqual(await judge(BAR_009, s), ['fail', `error unmapped BAR0+0x1c @${at}`]);
});

test('BAR-009: a SIGSEGV elsewhere, or where something else lies now', async () => {
  const { s, device } = nvme();
  const address = s.map(device, 0, 0x4000n);
  s.load(device, 0, 0x1c, 4, 0);
  s.unmap(address, 0x4000n);
  s.memory(0x4000n, address);
  s.signal(11, address).signal(11, 0x10n);
  assert.deepEqual(await judge(BAR_009, s), ['pass']);
});

test('BAR-010: a store, and closed', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.store(device, 0, 0x14, 4, 0).close(device);
  assert.deepEqual(await judge(BAR_010, s), ['note', `note CC @${at + 1},${at}`]);
});

test('BAR-010: read back, or a doorbell', async () => {
  const { s, device } = nvme();
  s.store(device, 0, 0x14, 4, 0).load(device, 0, 0x1c, 4, 0).close(device);
  assert.deepEqual(await judge(BAR_010, s), ['pass']);
  const other = nvme();
  other.s.load(other.device, 0, 0, 8, 0).store(other.device, 0, 0x1000, 4, 1).close(other.device);
  assert.deepEqual(await judge(BAR_010, other.s), ['pass']);
});

test('BAR-011: executable, and writable where the region is not', async () => {
  const { s, device } = nvme();
  s.regionInfo(device, 2, { size: 0x1000n, flags: 5 });
  const at = s.next;
  s.map(device, 0, 0x4000n, { protection: 7 });
  s.map(device, 2, 0x1000n);
  assert.deepEqual(await judge(BAR_011, s), [
    'fail',
    `warning BAR0 PROT_EXEC @${at}`,
    `warning BAR2 PROT_WRITE of a region that is not writable @${at + 1}`,
  ]);
});

test('BAR-011: as the flags say', async () => {
  const { s, device } = nvme();
  s.map(device, 0, 0x4000n);
  s.map(device, 0, 0x4000n, { protection: 7, errno: 13 });
  assert.deepEqual(await judge(BAR_011, s), ['pass']);
});

test('BAR-012: a doorbell after a reset, before the queues', async () => {
  const { s, device } = nvme();
  s.store(device, 0, 0x28, 8, 0x1000);
  const reset = s.next;
  s.reset(device);
  const at = s.next;
  s.store(device, 0, 0x1000, 4, 1).store(device, 0, 0x1008, 4, 1);
  assert.deepEqual(await judge(BAR_012, s), [
    'fail',
    `warning SQnTDBL x2 @${at},${reset},${at + 1},${reset}`,
  ]);
});

test('BAR-012: the address first, and a tail that is zeroed', async () => {
  const { s, device } = nvme();
  s.store(device, 0, 0x1000, 4, 0).store(device, 0, 0x28, 8, 0x1000).store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(BAR_012, s), ['pass']);
});
