// SPDX-License-Identifier: Apache-2.0
/** What no recorder writes: names that steer terminals, numbers out of every range, references to nothing. */
import { EventKind, ObjectKind, PayloadRole } from '../../traces/model.js';
import { SyntheticSession, text, words } from './builder.js';

/** Steers a terminal. */
const TERMINAL = '\u001b]0;owned\u0007\r\nfake line\u202e';
const ALL = (1n << 64n) - 1n;
const MIN = -(1n << 63n);

/** `evil`: put wherever a trace has free text. */
export function hostileSession(evil = TERMINAL): SyntheticSession {
  const s = new SyntheticSession();
  s.addThread(s.process({ exe: evil, argv: [evil, ''] }), { name: evil });
  s.addThread(77, { name: '' });
  const bdf = s.device({
    bdf: evil,
    driver: evil,
    iommuGroup: evil,
    resetMethod: evil,
    config: new Uint8Array(4096).fill(0xff),
  });
  s.site = s.addSite(s.module({ path: `/tmp/${evil}` }), ALL);
  const device = s.object(ObjectKind.DEVICE, { path: evil, device: bdf });
  const strange = s.object(4_000_000_000, { path: evil, device: 99 });

  s.add({
    kind: EventKind.PROCESS,
    offset: ALL,
    value: ALL,
    payloads: [{ role: PayloadRole.ARGV, data: text(evil) }],
  });
  s.add({ kind: EventKind.THREAD, payloads: [{ role: PayloadRole.NAME, data: text(evil) }] });
  s.open(device, 5, evil, 0xffff_ffff);
  s.ioctl(strange, -5, 0xffff_ffff, {
    value: ALL,
    result: MIN,
    errno: 65535,
    before: new Uint8Array(65536).fill(0x41),
  });
  s.ioctl(999_999, 5, 0x3b6c, { before: words(1) });
  s.ioctl(device, 5, 0x3b6c, {
    before: words(0xffff_ffff, 0xffff_ffff),
    after: words(0xffff_ffff, 8, 0, 0xffff_fff0, 0, 0, 0, 0),
  });
  s.ioctl(device, 5, 0x3b6c, {
    before: words(48, 0, 0),
    after: words(48, 15, 0, 32, 0xffff_ffff, 0xffff_ffff, 0, 0, 1 | (1 << 16), 32, 0xffff_ffff, 0),
  });
  s.ioctl(device, 5, 0x3b6e, { before: words(0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff) });
  s.ioctl(device, 5, 0x3b6a, { before: text(evil) });
  s.transfer(EventKind.READ, device, 5, ALL, 4, ALL);
  s.transfer(EventKind.WRITE, device, 5, 7n << 40n, 8, ALL);
  s.transfer(EventKind.READ, device, 5, (7n << 40n) + 4095n, 8, ALL);
  s.add({ kind: EventKind.READ, object: device, fd: 5, op: 4, offset: 7n << 40n, result: MIN, value: ALL });
  s.add({
    kind: EventKind.READ,
    object: device,
    fd: 5,
    op: 4,
    offset: 7n << 40n,
    result: -MIN - 1n,
    value: ALL,
  });
  s.add({ kind: EventKind.LOAD, object: device, op: 0xffff_ffff, offset: ALL, value: ALL });
  s.add({ kind: EventKind.UPDATE, object: device, op: 0, offset: ALL, value: ALL, result: MIN, flags: 0xff });
  s.add({
    kind: EventKind.MMAP,
    object: device,
    fd: -1,
    op: 0xffff_ffff,
    offset: 7n << 40n,
    value: ALL,
    result: -1n,
  });
  s.add({ kind: EventKind.MUNMAP, offset: ALL, value: ALL });
  s.add({ kind: EventKind.MREMAP, offset: ALL, value: ALL, op: 0xffff_ffff, result: MIN });
  s.add({ kind: EventKind.CLOSE, fd: -2147483648, op: 1, offset: ALL });
  s.add({ kind: EventKind.CLOSE, fd: 0, op: 1, offset: 0xffff_fffen });
  s.add({ kind: EventKind.DUP, fd: -1, op: 99, value: ALL, result: MIN, object: device });
  s.add({ kind: EventKind.LSEEK, value: ALL, offset: ALL, result: MIN });
  s.add({ kind: EventKind.WAKE, object: device, op: 99, value: ALL, result: MIN });
  s.add({ kind: EventKind.SIGNAL, op: 0xffff_ffff, value: ALL, offset: ALL });
  s.add({ kind: EventKind.FORK, op: 99, result: MIN });
  s.add({ kind: EventKind.LOST, op: 99, value: ALL, result: MIN });
  s.add({ kind: EventKind.SITE, op: 99, value: ALL, offset: ALL });
  s.add({
    kind: EventKind.DMA,
    object: strange,
    op: 0xffff_ffff,
    offset: ALL,
    value: ALL,
    result: 1n << 62n,
  });
  s.add({ kind: EventKind.DMA, op: 1, offset: ALL, result: MIN, errno: 14 });
  s.add({ kind: EventKind.INTERRUPT, object: device, op: 0xffff_ffff, offset: ALL, value: ALL });
  s.add({ kind: 0, errno: 4095, result: MIN });
  s.thread = 2;
  s.add({ kind: 255, flags: 255, object: strange, payloads: [{ role: 4_000_000_000, data: text(evil) }] });
  s.thread = 4_000_000_000;
  s.add({ kind: EventKind.EXEC, payloads: [{ role: PayloadRole.PATH, data: text(evil) }] });
  return s;
}
