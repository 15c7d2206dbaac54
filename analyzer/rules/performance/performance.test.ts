// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Opened, RecordedSession } from '../../../session/fixtures.js';
import { judge, verdictOf } from '../../check/fixtures.js';
import { PERF_001 } from './perf-001-hot-loads.js';
import { PERF_002 } from './perf-002-mappable.js';
import { PERF_003 } from './perf-003-map-per-request.js';
import { PERF_004 } from './perf-004-small-mappings.js';
import { PERF_005 } from './perf-005-doorbells.js';
import { PERF_006 } from './perf-006-msix.js';
import { PERF_007 } from './perf-007-unmask.js';
import { PERF_008 } from './perf-008-storm.js';
import { PERF_009 } from './perf-009-asked-again.js';
import { PERF_010 } from './perf-010-narrow.js';
import { PERF_011 } from './perf-011-resets.js';
import { PERF_012 } from './perf-012-pinning.js';
import { PERF_013 } from './perf-013-busy-wait.js';

/** Each event is 1 µs after the one before. */
function nvme() {
  const s = new RecordedSession();
  const { container, group, device } = s.openNvme();
  // The doorbells' stride is in CAP.
  s.load(device, 0, 0, 8, 0x20_0000_0fffn);
  return { s, container, group, device };
}

function times(count: number, once: (n: number) => void): void {
  for (let n = 0; n < count; n++) once(n);
}

const CSTS = 0x1c;
const SQ1TDBL = 0x1008;

test('PERF-001: a status register is polled', async () => {
  const { s, device } = nvme();
  const at = s.next;
  times(10_001, () => s.load(device, 0, CSTS, 4, 1));
  assert.deepEqual(await judge(PERF_001, s), ['note', `note CSTS @${at}`]);
  const [finding] = (await verdictOf(PERF_001, s)).findings;
  assert.match(finding?.message ?? '', /10001 times.* 10\.0 ms of polling/);
});

test('PERF-001: as often, but it changes; or seldom', async () => {
  const changing = nvme();
  times(10_001, (n) => changing.s.load(changing.device, 0, CSTS, 4, n % 3));
  assert.deepEqual(await judge(PERF_001, changing.s), ['pass']);
  const seldom = nvme();
  times(10_000, () => seldom.s.load(seldom.device, 0, CSTS, 4, 1));
  assert.deepEqual(await judge(PERF_001, seldom.s), ['pass']);
});

test('PERF-001: a load for each doorbell', async () => {
  const { s, device } = nvme();
  times(1001, (n) => s.store(device, 0, SQ1TDBL, 4, n).load(device, 0, CSTS, 4, n));
  const [status, finding] = await judge(PERF_001, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', /loads per doorbell/);
  const few = nvme();
  times(1001, (n) => few.s.store(few.device, 0, SQ1TDBL, 4, n));
  times(1000, (n) => few.s.load(few.device, 0, CSTS, 4, n));
  assert.deepEqual(await judge(PERF_001, few.s), ['note', `note loads per doorbell @${few.s.next - 2002}`]);
  const fewer = nvme();
  times(1002, (n) => fewer.s.store(fewer.device, 0, SQ1TDBL, 4, n));
  times(1000, (n) => fewer.s.load(fewer.device, 0, CSTS, 4, n));
  assert.deepEqual(await judge(PERF_001, fewer.s), ['pass']);
});

test('PERF-002: a BAR that could be mapped is read by system calls', async () => {
  const { s, device } = nvme();
  const at = s.next;
  times(101, () => s.regionRead(device, 0, CSTS, 4, 1));
  assert.deepEqual(await judge(PERF_002, s), ['note', `note BAR0 @${at}`]);
});

test('PERF-002: seldom, or it can not be mapped', async () => {
  const fewer = nvme();
  times(100, () => fewer.s.regionRead(fewer.device, 0, CSTS, 4, 1));
  assert.deepEqual(await judge(PERF_002, fewer.s), ['pass']);
  const unmappable = nvme();
  unmappable.s.regionInfo(unmappable.device, 0, { size: 0x4000n, flags: 3 });
  times(101, () => unmappable.s.regionRead(unmappable.device, 0, CSTS, 4, 1));
  assert.deepEqual(await judge(PERF_002, unmappable.s), ['not applicable']);
});

function mapAndUnmap(s: RecordedSession, container: Opened, lives: number): void {
  s.mapDma(container, { iova: 0x1000n, size: 0x1000n });
  s.after(lives).unmapDma(container, { iova: 0x1000n, size: 0x1000n });
}

test('PERF-003: a mapping for each request', async () => {
  const { s, container } = nvme();
  times(101, () => mapAndUnmap(s, container, 0));
  const [status, finding] = await judge(PERF_003, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', /short-lived mappings/);
});

test('PERF-003: fewer, or longer ones', async () => {
  const fewer = nvme();
  times(100, () => mapAndUnmap(fewer.s, fewer.container, 0));
  assert.deepEqual(await judge(PERF_003, fewer.s), ['pass']);
  const longer = nvme();
  times(101, () => mapAndUnmap(longer.s, longer.container, 10_000_000));
  assert.deepEqual(await judge(PERF_003, longer.s), ['pass']);
});

test('PERF-004: one buffer in many pieces', async () => {
  const { s, container } = nvme();
  const at = s.next;
  times(17, (n) => s.mapDma(container, { iova: BigInt(n) * 0x1000n, size: 0x1000n }));
  assert.deepEqual(await judge(PERF_004, s), ['note', `note pieces @${at}`]);
});

test('PERF-004: as many as are allowed, with a gap, or large ones', async () => {
  for (const [count, size, stride] of [
    [16, 0x1000n, 0x1000n],
    [17, 0x1000n, 0x2000n],
    [17, 0x20_0000n, 0x20_0000n],
  ] as const) {
    const { s, container } = nvme();
    times(count, (n) => s.mapDma(container, { iova: BigInt(n) * stride, size }));
    assert.deepEqual(await judge(PERF_004, s), ['pass']);
  }
});

test('PERF-005: a doorbell for each entry', async () => {
  const { s, device } = nvme();
  const at = s.next;
  times(10_001, (n) => s.store(device, 0, SQ1TDBL, 4, n));
  assert.deepEqual(await judge(PERF_005, s), ['note', `note SQnTDBL for each entry @${at}`]);
  const batches = nvme();
  times(10_001, (n) => batches.s.store(batches.device, 0, SQ1TDBL, 4, 4 * n));
  assert.deepEqual(await judge(PERF_005, batches.s), ['pass']);
});

test('PERF-005: a doorbell for nothing', async () => {
  const { s, device } = nvme();
  const at = s.next + 1;
  times(11, () => s.store(device, 0, SQ1TDBL, 4, 7));
  assert.deepEqual(await judge(PERF_005, s), ['note', `note SQnTDBL repeated @${at}`]);
  const fewer = nvme();
  times(10, () => fewer.s.store(fewer.device, 0, SQ1TDBL, 4, 7));
  assert.deepEqual(await judge(PERF_005, fewer.s), ['pass']);
});

test('PERF-006: one interrupt for all, of sixteen', async () => {
  const { s, device } = nvme();
  const eventfd = s.eventfd();
  const at = s.next;
  s.setIrqs(device, { index: 0, eventfds: [eventfd] });
  const [status, finding] = await judge(PERF_006, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', new RegExp(`INTX @${at},`));
});

test('PERF-006: MSI-X, or no more than one vector', async () => {
  const msix = nvme();
  msix.s.setIrqs(msix.device, { index: 2, eventfds: [msix.s.eventfd()] });
  assert.deepEqual(await judge(PERF_006, msix.s), ['pass']);
  const single = nvme();
  single.s.irqInfo(single.device, 2, 1);
  single.s.setIrqs(single.device, { index: 0, eventfds: [single.s.eventfd()] });
  assert.deepEqual(await judge(PERF_006, single.s), ['pass']);
  const unasked = new RecordedSession();
  const device = unasked.unseenDevice({ config: new Uint8Array(256) });
  unasked.setIrqs(device, { index: 1, eventfds: [unasked.eventfd()] });
  assert.deepEqual(await judge(PERF_006, unasked), ['unknown']); // for the open that was not seen alone
});

test('PERF-007: INTx unmasked by ioctl, again and again', async () => {
  const { s, device } = nvme();
  const at = s.next;
  times(1001, () => s.setIrqs(device, { index: 0, flags: 0x11, count: 1 }));
  assert.deepEqual(await judge(PERF_007, s), ['note', `note unmask @${at}`]);
});

test('PERF-007: not that often', async () => {
  const fewer = nvme();
  times(1000, () => fewer.s.setIrqs(fewer.device, { index: 0, flags: 0x11, count: 1 }));
  assert.deepEqual(await judge(PERF_007, fewer.s), ['pass']);
});

function interrupted(signals: bigint, doorbells: number) {
  const { s, device } = nvme();
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  times(doorbells, (n) => s.store(device, 0, SQ1TDBL, 4, n));
  const at = s.next;
  times(11, () => s.readEventfd(eventfd, signals));
  return { s, at };
}

test('PERF-008: many more interrupts than work', async () => {
  const storm = interrupted(1000n, 1000);
  assert.deepEqual(await judge(PERF_008, storm.s), ['note', `note MSIX[0] @${storm.at}`]);
});

test('PERF-008: as much work, or fewer signals', async () => {
  assert.deepEqual(await judge(PERF_008, interrupted(1000n, 1100).s), ['pass']);
  assert.deepEqual(await judge(PERF_008, interrupted(900n, 900).s), ['pass']);
});

test('PERF-009: the same question again and again', async () => {
  const { s, device } = nvme();
  times(8, () => s.regionInfo(device, 0, { size: 0x4000n }));
  const [status, finding] = await judge(PERF_009, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', /VFIO_DEVICE_GET_REGION_INFO of BAR0/);
});

test('PERF-009: as often as is allowed', async () => {
  const fewer = nvme();
  times(7, () => fewer.s.regionInfo(fewer.device, 0, { size: 0x4000n }));
  times(8, () => fewer.s.configRead(fewer.device, 0x34, 1, 0x40));
  assert.deepEqual(await judge(PERF_009, fewer.s), ['pass']);
  fewer.s.configRead(fewer.device, 0x34, 1, 0x40);
  assert.equal((await judge(PERF_009, fewer.s)).length, 2);
});

test('PERF-010: registers in pieces', async () => {
  const { s, device } = nvme();
  const at = s.next;
  times(101, () => s.load(device, 0, CSTS, 1, 1));
  assert.deepEqual(await judge(PERF_010, s), ['note', `note CSTS @${at}`]);
  const halves = nvme();
  times(1001, () => halves.s.load(halves.device, 0, 0, 4, 1));
  assert.deepEqual((await judge(PERF_010, halves.s)).length, 2);
});

test('PERF-010: whole, or seldom', async () => {
  const whole = nvme();
  times(100, () => whole.s.load(whole.device, 0, CSTS, 1, 1));
  times(1000, () => whole.s.load(whole.device, 0, 0, 4, 1).load(whole.device, 0, CSTS, 4, 1));
  assert.deepEqual(await judge(PERF_010, whole.s), ['pass']);
});

test('PERF-011: reset twice before it is used', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.reset(device).reset(device);
  assert.deepEqual(await judge(PERF_011, s), ['note', `note reset again @${at + 1},${at}`]);
  const once = nvme();
  once.s.reset(once.device).store(once.device, 0, SQ1TDBL, 4, 1).reset(once.device);
  assert.deepEqual(await judge(PERF_011, once.s), ['pass']);
});

test('PERF-011: a reset that takes long', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.after(2e9).ioctl(device, 'VFIO_DEVICE_RESET', { durationNs: 1e9 });
  assert.deepEqual(await judge(PERF_011, s), ['note', `note VFIO_DEVICE_RESET took long @${at}`]);
  const quick = nvme();
  quick.s.after(2e9).ioctl(quick.device, 'VFIO_DEVICE_RESET', { durationNs: 1e9 - 1 });
  assert.deepEqual(await judge(PERF_011, quick.s), ['pass']);
});

test('PERF-012: mapping small pages takes long', async () => {
  const sixteen = 16n << 20n;
  const { s, container } = nvme();
  const at = s.next;
  s.after(1e9).mapDma(container, { iova: 0n, size: sixteen, durationNs: 9_000_000 });
  assert.deepEqual(await judge(PERF_012, s), ['note', `note slow mapping @${at}`]);
});

test('PERF-012: quick, or too small to tell', async () => {
  const sixteen = 16n << 20n;
  const quick = nvme();
  quick.s.after(1e9).mapDma(quick.container, { iova: 0n, size: sixteen, durationNs: 7_000_000 });
  quick.s
    .after(1e9)
    .mapDma(quick.container, { iova: sixteen, size: sixteen - 4096n, durationNs: 90_000_000 });
  assert.deepEqual(await judge(PERF_012, quick.s), ['pass']);
});

test('PERF-013: woken again and again, and never read', async () => {
  const { s, device } = nvme();
  const eventfd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [eventfd] });
  const at = s.next;
  times(101, () => s.wake(eventfd));
  assert.deepEqual(await judge(PERF_013, s), ['note', `note MSIX[0] @${at}`]);
});

test('PERF-013: read before that', async () => {
  const read = nvme();
  const other = read.s.eventfd();
  read.s.setIrqs(read.device, { index: 2, eventfds: [other] });
  times(100, () => read.s.wake(other));
  read.s.readEventfd(other);
  times(100, () => read.s.wake(other));
  assert.deepEqual(await judge(PERF_013, read.s), ['pass']);
});
