// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf } from './calls.js';
import { parseStraceLog } from './strace-log.js';

const shim =
  '7 [0000000000001000] mmap(0x7f0000002000, 81920, 0x5, 0x812, 3</x/build/libvfiotape.so>, 0x2000) = 0x7f0000002000\n';

function keys(log: string): readonly string[] {
  return parseStraceLog(log).calls.map((call) => `${call.thread}: ${keyOf(call)}`);
}

test('opens are known by what the descriptor is, failed ones by their path', () => {
  assert.deepEqual(
    keys(
      [
        '7 [0000000000001000] openat(-100</tmp>, "/dev/vfio/vfio", 0x2) = 3</dev/vfio/vfio>',
        '7 [0000000000001000] openat(-100</tmp>, "/dev/vfio/12", 0x2) = -1 EBUSY (Device or resource busy)',
        '7 [0000000000001000] openat(-100</tmp>, "/etc/hosts", 0) = 3</etc/hosts>',
      ].join('\n'),
    ),
    ['7: open container fd 3 0x2 @0x0 = 3', '7: open group fd -1 0x2 @0x0 = -1 EBUSY'],
  );
});

test('ioctls keep request, kind, result and errno', () => {
  assert.deepEqual(
    keys(
      '7 [0000000000001000] ioctl(5<anon_inode:[vfio-device]>, 0x3b6f, 0x55) = -1 EINVAL (Invalid argument)\n',
    ),
    ['7: ioctl device fd 5 0x3b6f @0x0 = -1 EINVAL'],
  );
});

test('reads, vectors, mappings and eventfds', () => {
  assert.deepEqual(
    keys(
      [
        '7 [0000000000001000] pread64(5<anon_inode:[vfio-device]>, ""..., 2, 7696581394436) = 2',
        '7 [0000000000001000] preadv(5<anon_inode:[vfio-device]>, [{iov_base=""..., iov_len=4}, {iov_base="", iov_len=8}], 2, 16) = 12',
        '7 [0000000000001000] mmap(NULL, 4096, 0x3, 0x1, 5<anon_inode:[vfio-device]>, 0x10000000000) = 0x7f0000000000',
        '7 [0000000000001000] eventfd2(1, 0x80800) = 6<anon_inode:[eventfd]>',
        '7 [0000000000001000] write(6<anon_inode:[eventfd]>, ""..., 8) = 8',
      ].join('\n'),
    ),
    [
      '7: read device fd 5 0x2 @0x70000000004 = 2',
      '7: read device fd 5 0xc @0x10 = 12',
      '7: mmap device fd 5 0x103 @0x10000000000 = 139637976727552',
      '7: eventfd eventfd fd 6 0x80800 @0x1 = 6',
      '7: write eventfd fd 6 0x8 @0x0 = 8',
    ],
  );
});

test('a call that others ran into is joined, in the order in which it was entered', () => {
  assert.deepEqual(
    keys(
      [
        '7 [0000000000001000] ioctl(3</dev/vfio/vfio>, 0x3b71, 0x1 <unfinished ...>',
        '8 [0000000000001000] read(6<anon_inode:[eventfd]>,  <unfinished ...>',
        '7 [0000000000001000] <... ioctl resumed>) = 0',
        '8 [0000000000001000] <... read resumed>""..., 8) = 8',
      ].join('\n'),
    ),
    ['7: ioctl container fd 3 0x3b71 @0x0 = 0', '8: read eventfd fd 6 0x8 @0x0 = 8'],
  );
});

test('a call that never returned, and one that the kernel starts again, are not calls of their own', () => {
  assert.deepEqual(
    keys(
      [
        '7 [0000000000001000] read(6<anon_inode:[eventfd]>, 0x7f, 8) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)',
        '7 [0000000000001000] read(6<anon_inode:[eventfd]>, ""..., 8) = 8',
        '7 [0000000000001000] read(6<anon_inode:[eventfd]>,  <unfinished ...>',
        '7 [????????????????] +++ exited with 0 +++',
      ].join('\n'),
    ),
    ['7: read eventfd fd 6 0x8 @0x0 = 8'],
  );
});

test("the shim's own calls are subtracted by the published list; one that is not in it is told", () => {
  const log = parseStraceLog(
    [
      `${shim}7 [00007f0000003000] openat(-100</tmp>, "/dev/shm/vfiotape-RH1vRX/ring.001", 0x80042, 0600) = 4</dev/shm/vfiotape-RH1vRX/ring.001>`,
      '7 [00007f0000003000] mmap(NULL, 4096, 0x3, 0x1, 4</dev/shm/vfiotape-RH1vRX/ring.001>, 0) = 0x7f0000100000',
      '7 [00007f0000003000] mmap(NULL, 4096, 0x3, 0x22, -1, 0) = 0x7f0000200000',
      '7 [00007f0000003000] openat(-100</tmp>, "/etc/shadow", 0) = -1 EACCES (Permission denied)',
      '7 [0000000000001000] openat(-100</tmp>, "/etc/hosts", 0) = 4</etc/hosts>',
    ].join('\n'),
  );
  assert.deepEqual(log.calls, []);
  assert.deepEqual(
    [...log.own],
    [
      ['openat: files of the session (control, rings, process table)', 1],
      ['mmap: files of the session (control, rings, process table)', 1],
      ['mmap: working memory', 1],
    ],
  );
  assert.equal(log.unpublished.length, 1);
  assert.match(log.unpublished[0] ?? '', /etc\/shadow/);
});

test('a line that is no call is reported', () => {
  assert.deepEqual(parseStraceLog('strace: oops\n').unknown, ['1: strace: oops']);
});

test('a call past libc is told from those through it, where the log has libc’s mappings', () => {
  const libc =
    '7 [0000000000001000] mmap(0x7f0000100000, 4096, 0x5, 0x812, 3</usr/lib/x86_64-linux-gnu/libc.so.6>, 0) = 0x7f0000100000\n';
  const calls = [
    '7 [00007f0000100010] eventfd2(0, 0x80000) = 6<anon_inode:[eventfd]>',
    '7 [00007f0000500000] eventfd2(0, 0x80000) = 7<anon_inode:[eventfd]>',
    '7 [????????????????] eventfd2(0, 0x80000) = 8<anon_inode:[eventfd]>',
    '7 [00007f0000002010] close(8<anon_inode:[eventfd]>) = 0',
  ].join('\n');
  const past = (log: string) => parseStraceLog(log).calls.map(({ pastLibc }) => pastLibc === true);
  assert.deepEqual(past(shim + libc + calls), [false, true, false, false]);
  assert.deepEqual(past(shim + calls), [false, false, false, false]);
});
