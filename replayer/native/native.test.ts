// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { EBADF, ECONNREFUSED, EINVAL, EMSGSIZE, ENOENT, ENOTTY } from '../kernel/errno.js';
import { updatedValue } from '../replay/locked-update.js';
import { type AccessWidth, NativeAccess } from './access.js';
import { Libc } from './libc.js';
import { UnixSockets } from './sockets.js';

const O_RDWR = 2;
const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-native-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const libc = new Libc();

describe('Libc', () => {
  it('answers as the kernel does', () => {
    const path = join(scratch, 'file');
    writeFileSync(path, 'some bytes');
    const fd = libc.open(path, O_RDWR);
    assert.ok(fd > 2);
    const bytes = new Uint8Array(4);
    assert.equal(libc.pread(fd, bytes, 5n), 4);
    assert.equal(Buffer.from(bytes).toString(), 'byte');
    assert.equal(libc.pwrite(fd, Buffer.from('S'), 0n), 1);
    assert.equal(libc.pread(fd, bytes, 1n << 40n), 0);
    assert.equal(libc.pread(fd, bytes, -1n), -EINVAL);
    assert.equal(libc.ioctl(fd, 0x5401, bytes), -ENOTTY);
    assert.equal(libc.ioctlValue(fd, 0x3b64, 7n), -ENOTTY);
    assert.equal(libc.close(fd), 0);
    assert.equal(libc.close(fd), -EBADF);
    assert.equal(readFileSync(path, 'utf8'), 'Some bytes');
    assert.equal(libc.open(join(scratch, 'none'), O_RDWR), -ENOENT);
  });

  it('maps files and memory, which are seen as bytes', () => {
    const path = join(scratch, 'mapped');
    writeFileSync(path, Buffer.alloc(8192, 1));
    const fd = libc.open(path, O_RDWR);
    const address = libc.mmap(fd, 4096n, 4096n, true);
    assert.ok(address > 0n);
    libc.view(address, 4096)[5] = 9;
    assert.equal(libc.munmap(address, 4096n), 0);
    assert.equal(readFileSync(path)[4096 + 5], 9);
    assert.equal(libc.mmap(fd, 1n, 4096n, false), BigInt(-EINVAL));
    libc.close(fd);
    const pages = libc.allocate(1n << 33n);
    assert.ok(pages > 0n, 'what is not touched costs nothing');
    assert.equal(
      libc.view(pages + (1n << 32n), 16).every((byte) => byte === 0),
      true,
    );
    assert.equal(libc.munmap(pages, 1n << 33n), 0);
  });

  it('makes eventfds and waits for them', () => {
    const fd = libc.eventfd(0, 0);
    assert.equal(libc.pollIn(fd, 0), 0);
    assert.equal(libc.write(fd, Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)), 8);
    assert.equal(libc.pollIn(fd, -1), 1);
    const count = new Uint8Array(8);
    assert.equal(libc.read(fd, count), 8);
    assert.equal(count[0], 3);
    libc.close(fd);
  });
});

describe('UnixSockets', () => {
  const sockets = new UnixSockets(libc);

  it('carry bytes and descriptors', () => {
    const pair = sockets.pair();
    assert.ok(typeof pair === 'object');
    const path = join(scratch, 'passed');
    writeFileSync(path, 'what is in it');
    const fd = openSync(path, 'r');
    assert.equal(sockets.send(pair[0], Buffer.from('hello'), [fd, fd, fd]), 5);
    closeSync(fd);
    const into = new Uint8Array(16);
    const { length, fds } = sockets.receive(pair[1], into);
    assert.equal(Buffer.from(into.subarray(0, length)).toString(), 'hello');
    assert.equal(fds.length, 3);
    assert.equal(readFileSync(fds[2] as number, 'utf8'), 'what is in it');
    for (const held of fds) closeSync(held);
    assert.equal(sockets.send(pair[1], Buffer.from('!')), 1);
    assert.deepEqual(sockets.receive(pair[0], into), { length: 1, fds: [] });
    libc.close(pair[1]);
    assert.deepEqual(sockets.receive(pair[0], into), { length: 0, fds: [] });
    assert.ok(sockets.send(pair[0], Buffer.from('!')) < 0, 'EPIPE is an answer, not a signal');
    libc.close(pair[0]);
  });

  it('refuse more descriptors than are wanted, and keep none', () => {
    const pair = sockets.pair();
    assert.ok(typeof pair === 'object');
    const before = libc.eventfd(0, 0);
    sockets.send(pair[0], Buffer.from('x'), [before, before, before, before]);
    assert.deepEqual(sockets.receive(pair[1], new Uint8Array(1), 1), { length: -EMSGSIZE, fds: [] });
    // By what the kernel calls the eventfd: descriptors of others come and go meanwhile.
    const idOf = (fd: number | string) => {
      try {
        return /^eventfd-id:.*$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[0];
      } catch {
        return undefined;
      }
    };
    const id = idOf(before);
    assert.ok(id !== undefined);
    assert.equal(readdirSync('/proc/self/fd').filter((fd) => idOf(fd) === id).length, 1);
    for (const fd of [...pair, before]) libc.close(fd);
  });

  it('listen and connect', () => {
    const path = join(scratch, 'socket');
    const server = sockets.listen(path);
    const client = sockets.connect(path);
    const accepted = sockets.accept(server);
    assert.equal(sockets.send(client, Buffer.from('hi')), 2);
    assert.equal(sockets.receive(accepted, new Uint8Array(8)).length, 2);
    for (const fd of [server, client, accepted]) libc.close(fd);
    assert.equal(sockets.connect(path), -ECONNREFUSED);
    assert.equal(sockets.connect(join(scratch, 'nothing')), -ENOENT);
    assert.throws(() => sockets.connect('x'.repeat(200)), RangeError);
  });
});

describe('NativeAccess', () => {
  const access = new NativeAccess();

  it('loads and stores with each width, and nothing beside it', () => {
    const address = libc.allocate(4096n);
    const bytes = libc.view(address, 32);
    for (const width of [1, 2, 4, 8] as const satisfies readonly AccessWidth[]) {
      bytes.fill(0xee);
      const value = 0x8877_6655_4433_2211n & ((1n << BigInt(8 * width)) - 1n);
      assert.ok(access.store(address + 8n, width, 0x8877_6655_4433_2211n));
      assert.equal(access.load(address + 8n, width), value);
      assert.equal(bytes[7], 0xee);
      assert.equal(bytes[8 + width], 0xee);
    }
    libc.munmap(address, 4096n);
  });

  it('makes wide accesses in one where the processor can, and says so where it can not', () => {
    const address = libc.allocate(4096n);
    const bytes = libc.view(address, 256);
    assert.ok(access.can('load', 16) && access.can('store', 16), 'SSE2 is everywhere');
    for (const [kind, width] of [
      ['load', 0],
      ['load', 3],
      ['store', 128],
      ['exchange', 16],
      ['store-line', 8],
    ] as const)
      assert.equal(access.can(kind, width), false, `${kind} ${width}`);
    for (const width of [16, 32, 64].filter((one) => access.can('load', one))) {
      bytes.fill(0xee);
      const data = Uint8Array.from({ length: width }, (_, i) => i + 1);
      assert.ok(access.storeBytes(address + 67n, data, 'store'));
      const seen = new Uint8Array(width);
      assert.ok(access.loadBytes(address + 67n, seen));
      assert.deepEqual(seen, data);
      assert.equal(bytes[66], 0xee);
      assert.equal(bytes[67 + width], 0xee);
    }
    if (access.can('store-line', 64)) {
      assert.ok(access.storeBytes(address + 128n, new Uint8Array(64).fill(7), 'store-line'));
      assert.deepEqual([bytes[128], bytes[191]], [7, 7]);
    }
    libc.munmap(address, 4096n);
  });

  it('makes each locked instruction of each width, and tells what it found', () => {
    const address = libc.allocate(4096n);
    const view = new DataView(libc.view(address, 64).buffer, libc.view(address, 64).byteOffset);
    const kinds = ['exchange', 'compare-exchange', 'add', 'and', 'or', 'xor', 'negate'] as const;
    const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        fc.constantFrom<AccessWidth>(1, 2, 4, 8),
        word,
        word,
        fc.boolean(),
        (kind, width, before, given, equal) => {
          const cut = (value: bigint): bigint => BigInt.asUintN(8 * width, value);
          const update = { kind, operand: cut(given), expected: equal ? cut(before) : cut(before ^ 1n) };
          view.setBigUint64(8, before, true);
          const old = access.update(address + 8n, width, kind, update.operand, update.expected);
          const left = view.getBigUint64(8, true);
          assert.equal(cut(left), updatedValue(update, cut(before), width), kind);
          assert.equal(left >> BigInt(8 * width), before >> BigInt(8 * width), 'nothing beside it');
          assert.equal(old, ['and', 'or', 'xor', 'negate'].includes(kind) ? null : cut(before));
        },
      ),
    );
    libc.munmap(address, 4096n);
  });

  it('answers where there is nothing (SIGBUS), again and again', () => {
    const path = join(scratch, 'short');
    const fd = openSync(path, 'w+');
    ftruncateSync(fd, 4096);
    const address = libc.mmap(fd, 0n, 4096n, true);
    ftruncateSync(fd, 0);
    for (let n = 0; n < 3; n++) {
      assert.equal(access.load(address, 4), undefined);
      assert.equal(access.store(address, 4, 1n), false);
      assert.equal(access.update(address, 4, 'exchange', 1n, 0n), undefined);
      assert.equal(access.loadBytes(address, new Uint8Array(16)), false);
    }
    ftruncateSync(fd, 4096);
    assert.equal(access.load(address, 4), 0n);
    closeSync(fd);
    libc.munmap(address, 4096n);
  });

  it('waits no shorter than it should', () => {
    const due = process.hrtime.bigint() + 2_000_000n;
    const late = access.waitUntil(due);
    assert.ok(late >= 0);
    assert.ok(process.hrtime.bigint() >= due);
    assert.ok(access.waitUntil(due) > 0);
  });
});
