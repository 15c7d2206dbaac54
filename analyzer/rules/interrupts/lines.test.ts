// SPDX-License-Identifier: Apache-2.0
// INTx, errors and requests: INTX-001 to INTX-006, ERR-001, REQ-001, REQ-002.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVM_VM } from '../../../abi/object-kinds.js';
import { type Opened, RecordedSession } from '../../../session/fixtures.js';
import { judge } from '../../check/fixtures.js';
import { ERR_001 } from './err-001-errors.js';
import { INTX_001 } from './intx-001-unmask.js';
import { INTX_002 } from './intx-002-serve-first.js';
import { INTX_003 } from './intx-003-shared-line.js';
import { INTX_004 } from './intx-004-disabled-line.js';
import { INTX_005 } from './intx-005-one-vector.js';
import { INTX_006 } from './intx-006-no-line.js';
import { REQ_001 } from './req-001-request-line.js';
import { REQ_002 } from './req-002-give-back.js';

const [EBUSY, EINVAL] = [16, 22];
const UNMASK = { index: 0, flags: 0x11, count: 1 };

function nvme() {
  const s = new RecordedSession();
  return { s, ...s.openNvme() };
}

/** INTx is set up. */
function line() {
  const opened = nvme();
  const fd = opened.s.eventfd();
  opened.s.setIrqs(opened.device, { index: 0, eventfds: [fd] });
  return { ...opened, fd, at: opened.s.next };
}

test('INTX-001: taken, and not unmasked any more', async () => {
  const { s, device, fd, at } = line();
  s.readEventfd(fd).load(device, 0, 0x1c, 4, 1).after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, s), ['fail', `error masked @${at},${at + 2}`]);
});

test('INTX-001: it worked once', async () => {
  const { s, device, fd, at } = line();
  s.readEventfd(fd).setIrqs(device, UNMASK).readEventfd(fd).after(2e9).setIrqs(device, { index: 0 });
  assert.deepEqual(await judge(INTX_001, s), ['fail', `error masked @${at + 2},${at + 3}`]);
});

test('INTX-001: unmasked by the call, by its eventfd, or by Command', async () => {
  const call = line();
  call.s.readEventfd(call.fd).setIrqs(call.device, UNMASK).after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, call.s), ['pass']);
  const resample = line();
  const unmask = resample.s.eventfd();
  resample.s.setIrqs(resample.device, { index: 0, flags: 0x14, eventfds: [unmask] });
  resample.s.readEventfd(resample.fd).writeEventfd(unmask).after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, resample.s), ['pass']);
  const command = line();
  command.s
    .readEventfd(command.fd)
    .configWrite(command.device, 4, 2, 0x0406)
    .configWrite(command.device, 4, 2, 0x0006);
  command.s.after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, command.s), ['pass']);
});

test('INTX-001: switched off while it is handled; the last of all; KVM does it in the kernel; MSI-X needs none', async () => {
  const off = line();
  off.s.readEventfd(off.fd).setIrqs(off.device, { index: 0 }).after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, off.s), ['pass']);
  const last = line();
  last.s.readEventfd(last.fd).close(last.device).after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, last.s), ['pass']);
  const kvm = line();
  const before = new Uint8Array(32);
  new DataView(before.buffer).setInt32(0, kvm.fd.fd, true);
  const machine = kvm.s.open(KVM_VM, 'anon_inode:kvm-vm');
  kvm.s.ioctl(machine, 'KVM_IRQFD', { before }).readEventfd(kvm.fd).after(2e9).exit();
  assert.deepEqual(await judge(INTX_001, kvm.s), ['not applicable']);
  const { s, device } = nvme();
  const fd = s.eventfd();
  s.setIrqs(device, { index: 2, eventfds: [fd] })
    .readEventfd(fd)
    .after(2e9)
    .exit();
  assert.deepEqual(await judge(INTX_001, s), ['not applicable']);
});

/** Handled and unmasked so many times; `look`: with a look at the device; `restNs`: until the next. */
function storm(times: number, look: boolean, restNs: number) {
  const { s, device, fd, at } = line();
  for (let n = 0; n < times; n++) {
    s.readEventfd(fd);
    if (look) s.load(device, 0, 0x1c, 4, 1);
    s.setIrqs(device, UNMASK).after(restNs);
  }
  return { s, at };
}

test('INTX-002: unmasked first, and there it is again', async () => {
  const { s, at } = storm(4, false, 0);
  assert.deepEqual(await judge(INTX_002, s), ['fail', `warning storm @${at + 6},${at + 5}`]);
});

test('INTX-002: looked at first; or it came again much later; a monitor can’t tell', async () => {
  assert.deepEqual(await judge(INTX_002, storm(8, true, 0).s), ['pass']);
  assert.deepEqual(await judge(INTX_002, storm(8, false, 1e6).s), ['pass']);
  assert.deepEqual(await judge(INTX_002, storm(8, false, 0).s, { profile: 'vmm' }), ['off']);
  const { s, device, fd } = line();
  for (let n = 0; n < 8; n++) s.readEventfd(fd).regionRead(device, 0, 0x1c, 4, 1).setIrqs(device, UNMASK);
  assert.deepEqual(await judge(INTX_002, s), ['pass']);
});

function busy() {
  const { s, device } = nvme();
  const at = s.next + 1;
  const fd = s.eventfd();
  s.setIrqs(device, { index: 0, eventfds: [fd], errno: EBUSY });
  return { s, device, fd, at };
}

function work(s: RecordedSession, device: Opened): number {
  for (let n = 0; n < 100; n++) s.store(device, 0, 0x1000, 4, n);
  return s.next - 1;
}

test('INTX-003: busy, and on it goes', async () => {
  const { s, device, at } = busy();
  const used = work(s, device);
  assert.deepEqual(await judge(INTX_003, s), ['fail', `warning EBUSY @${at},${used}`]);
});

test('INTX-003: MSI instead, or given up', async () => {
  const { s, device, fd } = busy();
  s.setIrqs(device, { index: 1, eventfds: [fd] });
  work(s, device);
  assert.deepEqual(await judge(INTX_003, s), ['pass']);
  const up = busy();
  up.s.close(up.device);
  assert.deepEqual(await judge(INTX_003, up.s), ['pass']);
});

test('INTX-004: Interrupt Disable is cleared while nobody listens', async () => {
  const { s, device } = nvme();
  s.configWrite(device, 4, 2, 0x0406);
  const at = s.next;
  s.configWrite(device, 4, 2, 0x0002).after(2e9).exit();
  assert.deepEqual(await judge(INTX_004, s), ['fail', `warning cleared @${at}`]);
});

test('INTX-004: it was clear; a reset follows; INTx is wanted; the device has none; SPDK sets it', async () => {
  const { s, device } = nvme();
  s.configRead(device, 4, 2, 0x0002).configWrite(device, 4, 2, 0x0006).configWrite(device, 4, 2, 0x0406);
  assert.deepEqual(await judge(INTX_004, s), ['pass']);
  const reset = nvme();
  reset.s.configWrite(reset.device, 4, 2, 0x0406).configWrite(reset.device, 4, 2, 0x0002).reset(reset.device);
  assert.deepEqual(await judge(INTX_004, reset.s), ['pass']);
  const wanted = nvme();
  wanted.s.configWrite(wanted.device, 4, 2, 0x0406).configWrite(wanted.device, 4, 2, 0x0006);
  wanted.s.setIrqs(wanted.device, { index: 0, eventfds: [wanted.s.eventfd()] });
  assert.deepEqual(await judge(INTX_004, wanted.s), ['pass']);
  const none = nvme();
  none.s
    .irqInfo(none.device, 0, 0)
    .configWrite(none.device, 4, 2, 0x0406)
    .configWrite(none.device, 4, 2, 0x0006);
  assert.deepEqual(await judge(INTX_004, none.s), ['pass']);
});

test('INTX-005: two of it, and another than the first', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.setIrqs(device, { index: 0, eventfds: [-1, -1], errno: EINVAL });
  s.setIrqs(device, { index: 0, start: 1, flags: 0x11, count: 1, errno: EINVAL });
  assert.deepEqual(await judge(INTX_005, s), [
    'fail',
    `error start 0 count 2 @${at}`,
    `error start 1 count 1 @${at + 1}`,
  ]);
});

test('INTX-005: one, unmasked, switched off', async () => {
  const { s, device } = line();
  s.setIrqs(device, UNMASK).setIrqs(device, { index: 0 });
  assert.deepEqual(await judge(INTX_005, s), ['pass']);
});

function pinless() {
  const s = new RecordedSession();
  const device = s.getDevice(s.group());
  s.irqInfo(device, 0, 0).irqInfo(device, 2, 4);
  const fd = s.eventfd();
  const at = s.next;
  s.setIrqs(device, { index: 0, eventfds: [fd], errno: EINVAL });
  return { s, device, fd, at };
}

test('INTX-006: there is none', async () => {
  const { s, at } = pinless();
  assert.deepEqual(await judge(INTX_006, s), ['fail', `error no INTx @${at},${at - 3}`]);
});

test('INTX-006: errors and requests are no interrupts of the device', async () => {
  const { s, device, fd, at } = pinless();
  s.setIrqs(device, { index: 3, eventfds: [fd] }).setIrqs(device, { index: 4, eventfds: [fd] });
  assert.deepEqual(await judge(INTX_006, s), ['fail', `error no INTx @${at},${at - 3}`]);
});

test('INTX-006: tried, and MSI-X then; i40e and X550 say so, and are not asked', async () => {
  const { s, device, fd } = pinless();
  s.setIrqs(device, { index: 2, eventfds: [fd] });
  assert.deepEqual(await judge(INTX_006, s), ['pass']);
  const silent = new RecordedSession();
  const other = silent.getDevice(silent.group());
  silent.irqInfo(other, 0, 0).setIrqs(other, { index: 2, eventfds: [silent.eventfd()] });
  assert.deepEqual(await judge(INTX_006, silent), ['not applicable']);
  assert.deepEqual(await judge(INTX_003, silent), ['pass']);
});

test('ERR-001: nobody listens to errors', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.after(11e9).close(device);
  const [status, finding] = await judge(ERR_001, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', new RegExp(`^note not set @${at},`));
});

test('ERR-001, REQ-001: a device that goes with its process was open as long', async () => {
  const { s } = nvme();
  s.after(11e9).exit();
  for (const rule of [ERR_001, REQ_001]) assert.equal((await judge(rule, s))[0], 'note');
});

test('ERR-001: an error, and the device is used as before', async () => {
  const { s, device } = nvme();
  const fd = s.eventfd();
  s.setIrqs(device, { index: 3, eventfds: [fd] });
  const at = s.next;
  s.readEventfd(fd).after(2e9).store(device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(ERR_001, s), ['fail', `error used after an error @${at},${at + 1}`]);
});

test('ERR-001: heard and reset; a short-lived tool; a device that has none', async () => {
  const heard = nvme();
  const fd = heard.s.eventfd();
  heard.s
    .setIrqs(heard.device, { index: 3, eventfds: [fd] })
    .readEventfd(fd)
    .reset(heard.device);
  heard.s.after(11e9).store(heard.device, 0, 0x1000, 4, 1).close(heard.device);
  assert.deepEqual(await judge(ERR_001, heard.s), ['pass']);
  const short = nvme();
  short.s.close(short.device);
  assert.deepEqual(await judge(ERR_001, short.s), ['pass']);
  const none = new RecordedSession();
  const device = none.getDevice(none.group());
  none.irqInfo(device, 3, 0).after(11e9).close(device);
  assert.deepEqual(await judge(ERR_001, none), ['not applicable']);
});

test('REQ-001: nobody could ask for the device', async () => {
  const { s, device } = nvme();
  const at = s.next;
  s.after(11e9).close(device);
  const [status, finding] = await judge(REQ_001, s);
  assert.equal(status, 'note');
  assert.match(finding ?? '', new RegExp(`^note not set @${at},`));
});

test('REQ-001: set, as DPDK and QEMU do; or over soon', async () => {
  const { s, device } = nvme();
  s.setIrqs(device, { index: 4, eventfds: [s.eventfd()] })
    .after(11e9)
    .close(device);
  assert.deepEqual(await judge(REQ_001, s), ['pass']);
  const short = nvme();
  short.s.close(short.device);
  assert.deepEqual(await judge(REQ_001, short.s), ['pass']);
});

function asked() {
  const { s, device } = nvme();
  const fd = s.eventfd();
  s.setIrqs(device, { index: 4, eventfds: [fd] });
  const at = s.next;
  s.readEventfd(fd);
  return { s, device, fd, at };
}

test('REQ-002: asked for, and kept', async () => {
  const kept = asked();
  kept.s.after(10e9).readEventfd(kept.fd).after(10e9).close(kept.device);
  assert.deepEqual(await judge(REQ_002, kept.s), [
    'fail',
    `error not given back @${kept.at},${kept.at + 1},${kept.at + 2}`,
  ]);
  assert.equal((await judge(REQ_002, kept.s, { profile: 'vmm' }))[0], 'note');
  const open = asked();
  open.s.after(10e9).store(open.device, 0, 0x1000, 4, 1);
  assert.deepEqual(await judge(REQ_002, open.s), ['fail', `error not given back @${open.at},${open.at + 1}`]);
});

test('REQ-002: given back; the recording ends soon after', async () => {
  const back = asked();
  back.s.after(1e9).close(back.device).after(60e9).exit();
  assert.deepEqual(await judge(REQ_002, back.s), ['pass']);
  const ends = asked();
  ends.s.after(1e9).exit();
  assert.deepEqual(await judge(REQ_002, ends.s), ['pass']);
});
