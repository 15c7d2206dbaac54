// SPDX-License-Identifier: Apache-2.0
// The documented exchanges byte for byte, and what is wrong in every way: against a server in its thread, by a client that
// writes the specification's tables out by hand.
import assert from 'node:assert/strict';
import { closeSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { EEXIST, EINVAL, EIO, EMSGSIZE, ENOENT, ENOTTY, EOPNOTSUPP, EPROTO } from '../kernel/errno.js';
import { bytes, hex, type RawReply } from './test/raw-client.js';
import { connect, fails, greeted, memory, succeeds } from './test/served-edu.js';

/** As the tables of the specification have them; edu of 1 MiB, MSI with one vector. */
const EXCHANGES = [
  [
    'VFIO_USER_DEVICE_GET_INFO',
    4,
    '10000000 00000000 00000000 00000000',
    '10000000 02000000 09000000 05000000',
  ],
  [
    'VFIO_USER_DEVICE_GET_REGION_INFO of BAR 0',
    5,
    '20000000 00000000 00000000 00000000 0000000000000000 0000000000000000',
    '20000000 03000000 00000000 00000000 0000100000000000 0000000000000000',
  ],
  [
    '… of a BAR that is not there',
    5,
    '20000000 00000000 01000000 00000000 0000000000000000 0000000000000000',
    '20000000 00000000 01000000 00000000 0000000000000000 0000000000000000',
  ],
  [
    '… of configuration space',
    5,
    '20000000 00000000 07000000 00000000 0000000000000000 0000000000000000',
    '20000000 03000000 07000000 00000000 0001000000000000 0000000000000000',
  ],
  [
    'VFIO_USER_DEVICE_GET_IRQ_INFO of INTx',
    7,
    '10000000 00000000 00000000 00000000',
    '10000000 07000000 00000000 01000000',
  ],
  ['… of MSI', 7, '10000000 00000000 01000000 00000000', '10000000 09000000 01000000 01000000'],
  [
    '… of MSI-X, which edu has not',
    7,
    '10000000 00000000 02000000 00000000',
    '10000000 09000000 02000000 00000000',
  ],
  [
    'VFIO_USER_REGION_READ of the ids',
    9,
    '0000000000000000 07000000 04000000',
    '0000000000000000 07000000 04000000 3412e811',
  ],
  [
    'VFIO_USER_REGION_WRITE of the command',
    10,
    '0400000000000000 07000000 02000000 0600',
    '0400000000000000 07000000 02000000',
  ],
  [
    '… which is read back',
    9,
    '0400000000000000 07000000 02000000',
    '0400000000000000 07000000 02000000 0600',
  ],
  [
    'VFIO_USER_REGION_READ of a register',
    9,
    '0000000000000000 00000000 04000000',
    '0000000000000000 00000000 04000000 ed000001',
  ],
  [
    'VFIO_USER_REGION_WRITE of a register',
    10,
    '0400000000000000 00000000 04000000 78563412',
    '0400000000000000 00000000 04000000',
  ],
  [
    '… which is read back, inverted',
    9,
    '0400000000000000 00000000 04000000',
    '0400000000000000 00000000 04000000 87a9cbed',
  ],
  [
    'VFIO_USER_REGION_READ of nothing',
    9,
    '0000000000000000 00000000 00000000',
    '0000000000000000 00000000 00000000',
  ],
  [
    'VFIO_USER_DMA_MAP without a descriptor',
    2,
    '20000000 03000000 0000000000000000 0000100000000000 0010000000000000',
    '',
  ],
  [
    'VFIO_USER_DMA_UNMAP',
    3,
    '18000000 00000000 0000100000000000 0010000000000000',
    '18000000 00000000 0000100000000000 0010000000000000',
  ],
  ['VFIO_USER_DEVICE_SET_IRQS, all of MSI off', 8, '14000000 21000000 01000000 00000000 00000000', ''],
] as const;

describe('vfio-user server', () => {
  it('answers the documented exchanges byte for byte', () => {
    const client = greeted();
    for (const [title, command, request, reply] of EXCHANGES) {
      const answer = client.ask(command, request);
      assert.equal(answer?.command, command, title);
      succeeds(answer, reply);
    }
    // edu can't be reset, as in QEMU: VFIO_DEVICE_FLAGS_RESET was not there.
    fails(client.ask(13), EINVAL);
  });

  it('negotiates', () => {
    const text = (reply: RawReply | undefined): string =>
      bytes(reply?.payload ?? '')
        .subarray(4)
        .toString();
    const plain = connect().greet();
    assert.equal(plain?.payload.slice(0, 8), '00000000');
    assert.equal(
      text(plain),
      '{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"max_dma_maps":65535,"pgsizes":4096}}\0',
    );
    assert.deepEqual(plain?.fds, []);
    const all = connect().greet(
      '{"capabilities":{"twin_socket":{"supported":true},"write_multiple":true,"future":1}}',
    );
    assert.deepEqual(JSON.parse(text(all).slice(0, -1)), {
      capabilities: {
        max_msg_fds: 16,
        max_data_xfer_size: 1048576,
        max_dma_maps: 65535,
        pgsizes: 4096,
        write_multiple: true,
        twin_socket: { supported: true, fd_index: 0 },
      },
    });
    assert.equal(all?.fds.length, 1);
    for (const fd of all?.fds ?? []) closeSync(fd);
    // A later minor version is answered with ours.
    const client = connect();
    assert.equal(client.ask(1, '0000 0700')?.payload.slice(0, 8), '00000000');
  });

  it('ends connections that do not begin as they should', () => {
    for (const [title, command, payload, errno] of [
      ['no version first', 4, '10000000000000000000000000000000', EINVAL],
      ['another major version', 1, '01000000', EPROTO],
      ['half a version', 1, '0000', EINVAL],
      ['no JSON', 1, '00000000 7b7b00', EINVAL],
      ['JSON without its NUL', 1, '00000000 7b7d', EINVAL],
      ['JSON that is no object', 1, '00000000 5b5d00', EINVAL],
      ['no UTF-8', 1, '00000000 22ff2200', EINVAL],
      ['a negative capability', 1, hex(Buffer.from('\0\0\0\0{"capabilities":{"max_msg_fds":-1}}\0')), EINVAL],
    ] as const) {
      const client = connect();
      fails(client.ask(command, payload), errno, title);
      assert.equal(client.receive(), undefined, title);
    }
    for (const size of [0, 15, 0x7fff_ffff]) {
      const client = greeted();
      client.send(client.header(4, size));
      fails(client.receive(), EINVAL, `size ${size}`);
      assert.equal(client.receive(), undefined);
    }
  });

  it('refuses every truncation and every excess', () => {
    const client = greeted();
    const sizes: Readonly<Record<number, number>> = {
      2: 32,
      3: 24,
      4: 16,
      5: 32,
      6: 16,
      7: 16,
      8: 20,
      9: 16,
      10: 16,
    };
    for (const [command, size] of Object.entries(sizes)) {
      // argsz says that all of it is there.
      const payload = Buffer.alloc(size + 8);
      payload.writeUInt32LE(size, 0);
      for (let length = 0; length <= size + 8; length++)
        if (length !== size)
          fails(client.ask(Number(command), payload.subarray(0, length)), EINVAL, `${command}: ${length}`);
      const small = Buffer.alloc(size);
      small.writeUInt32LE(size - 1, 0);
      if (Number(command) < 9) fails(client.ask(Number(command), small), EINVAL, `${command}: argsz`);
    }
    for (const payload of ['', '08000000', '0800000000000000', '0800000000000300', '0700000000000100'])
      fails(client.ask(16, payload), EINVAL, `feature ${payload}`);
    fails(client.ask(13, '00'), EINVAL);
    succeeds(client.ask(9, '0000000000000000 07000000 02000000'), '0000000000000000 07000000 02000000 3412');
  });

  it('answers what it does not do, and what nobody does, with an error', () => {
    const client = greeted();
    for (const [title, command, payload, errno] of [
      ['unknown commands', 0, '', EINVAL],
      ['unknown commands', 14, '', EINVAL],
      ['unknown commands', 19, '', EINVAL],
      ['unknown commands', 0xffff, '', EINVAL],
      ['a second version', 1, '00000000', EINVAL],
      ['DMA_READ, which is the server’s', 11, '00000000000000000400000000000000', EINVAL],
      ['DMA_WRITE, which is the server’s', 12, '00000000000000000000000000000000', EINVAL],
      ['region io fds', 6, '10000000000000000000000000000000', EOPNOTSUPP],
      ['write multi, which was not agreed on', 15, '0000000000000000', EOPNOTSUPP],
      ['the migration feature', 16, '0800000001000100', ENOTTY],
      ['migration data', 17, '0800000000000000', EOPNOTSUPP],
      ['migration data', 18, '0800000000000000', EOPNOTSUPP],
      [
        'a region that is not there',
        5,
        '200000000000000009000000000000000000000000000000 0000000000000000',
        EINVAL,
      ],
      ['an interrupt that is not there', 7, '10000000000000000500000000000000', EINVAL],
      ['reading beyond a region', 9, '0001000000000000 07000000 01000000', EINVAL],
      ['reading across its end', 9, 'ff00000000000000 07000000 02000000', EINVAL],
      ['reading far beyond', 9, '0000000000010000 00000000 04000000', EINVAL],
      ['reading region 9', 9, '0000000000000000 09000000 04000000', EINVAL],
      ['reading more than was agreed on', 9, '0000000000000000 00000000 01001000', EINVAL],
      ['writing fewer bytes than it says', 10, '0000000000000000 00000000 04000000 112233', EINVAL],
      ['SET_IRQS of a vector too many', 8, '14000000 21000000 01000000 00000000 02000000', EINVAL],
      [
        'SET_IRQS of more vectors than there can be',
        8,
        '14000000 24000000 02000000 00000000 ffffffff',
        EINVAL,
      ],
      ['SET_IRQS with too few booleans', 8, '14000000 22000000 01000000 00000000 01000000', EINVAL],
    ] as const)
      fails(client.ask(command, payload), errno, title);
    // Memory decode is off: as VFIO.
    succeeds(client.ask(10, '0400000000000000 07000000 02000000 0000'), '0400000000000000 07000000 02000000');
    fails(client.ask(9, '0000000000000000 00000000 04000000'), EIO);
  });

  it('maps and unmaps as specified', () => {
    const client = greeted();
    const map = (address: string, size: string, flags = '03000000', offset = '0000000000000000'): string =>
      `20000000 ${flags} ${offset} ${address} ${size}`;
    const page = '0010000000000000';
    succeeds(client.ask(2, map('0000010000000000', '0020000000000000')));
    fails(client.ask(2, map('0000010000000000', '0020000000000000')), EEXIST, 'the same');
    fails(client.ask(2, map('0010010000000000', page)), EEXIST, 'inside');
    fails(client.ask(2, map('00f0000000000000', '0040000000000000')), EEXIST, 'around');
    succeeds(client.ask(2, map('0020010000000000', page, '00000000')));
    fails(client.ask(2, map('0100020000000000', page)), EINVAL, 'address');
    fails(client.ask(2, map('0000020000000000', '0100000000000000')), EINVAL, 'size');
    fails(client.ask(2, map('0000020000000000', '0000000000000000')), EINVAL, 'nothing');
    fails(client.ask(2, map('00f0ffffffffffff', '0020000000000000')), EINVAL, 'beyond 2^64');
    fails(client.ask(2, map('0000020000000000', page, '04000000')), EINVAL, 'flags');
    succeeds(client.ask(2, map('00f0ffffffffffff', page)));
    const unmap = (address: string, size: string): string => `18000000 00000000 ${address} ${size}`;
    fails(client.ask(3, unmap('0000010000000000', page)), ENOENT, 'half');
    fails(client.ask(3, unmap('0010010000000000', page)), ENOENT, 'the other half');
    fails(client.ask(3, unmap('0000030000000000', page)), ENOENT, 'nothing there');
    succeeds(
      client.ask(3, unmap('0000010000000000', '0020000000000000')),
      unmap('0000010000000000', '0020000000000000'),
    );
    // QEMU's, for all of it.
    succeeds(
      client.ask(3, '18000000 02000000 0000000000000000 0000000000000000'),
      '18000000 02000000 0000000000000000 0000000000000000',
    );
    fails(client.ask(3, unmap('0020010000000000', page)), ENOENT);
    fails(client.ask(3, '18000000 02000000 0010000000000000 0000000000000000'), EINVAL);

    const fd = memory(2);
    fails(client.ask(2, map('0000010000000000', '0030000000000000'), [fd]), EINVAL, 'more than the file has');
    fails(
      client.ask(2, map('0000010000000000', page, '03000000', '0020000000000000'), [fd]),
      EINVAL,
      'behind its end',
    );
    fails(client.ask(2, map('0000010000000000', page), [fd, fd]), EINVAL, 'two descriptors');
    succeeds(client.ask(2, map('0000010000000000', page, '03000000', '0010000000000000'), [fd]));
    closeSync(fd);
  });

  it('keeps no descriptor that it did not ask for', () => {
    const client = greeted();
    const fd = memory(1);
    const count = (): number => readdirSync('/proc/self/fd').length;
    const before = count();
    fails(client.ask(4, '10000000000000000000000000000000', [fd]), EINVAL);
    fails(client.ask(99, '', [fd, fd, fd]), EINVAL);
    fails(client.ask(8, '14000000 24000000 01000000 00000000 01000000', [fd]), EINVAL, 'no eventfd');
    const eventfd = client.libc.eventfd(0, 0);
    fails(
      client.ask(8, '14000000 24000000 01000000 00000000 01000000', [eventfd, eventfd]),
      EINVAL,
      'one too many',
    );
    fails(client.ask(8, '14000000 21000000 01000000 00000000 00000000', [eventfd]), EINVAL, 'not wanted');
    fails(
      client.ask(
        2,
        '20000000 03000000 0000000000000000 0000100000000000 0010000000000000',
        Array(17).fill(fd),
      ),
      EMSGSIZE,
    );
    client.libc.close(eventfd);
    assert.equal(count(), before, 'server and client are one process here');
    closeSync(fd);
  });

  it('sends no reply when none is wanted, and keeps the order', () => {
    const client = greeted();
    client.command(10, '0400000000000000 07000000 02000000 0600', [], 0x10);
    client.command(99, '', [], 0x10);
    client.command(9, '0400000000000000 07000000 02000000');
    succeeds(client.receive(), '0400000000000000 07000000 02000000 0600');
    assert.equal(client.isReadable(0), false);
    // A reply to nothing is none of its business.
    client.command(9, '', [], 1);
    succeeds(client.ask(9, '0400000000000000 07000000 02000000'), '0400000000000000 07000000 02000000 0600');
  });

  it('writes several registers by one message', () => {
    const client = greeted('{"capabilities":{"write_multiple":true}}');
    const one = (value: string): string => `0400000000000000 00000000 04000000 ${value}`;
    succeeds(client.ask(10, '0400000000000000 07000000 02000000 0600'), '0400000000000000 07000000 02000000');
    succeeds(
      client.ask(15, `0200000000000000 ${one('0000000000000000')} ${one('ffffff7f00000000')}`),
      '0200000000000000',
    );
    succeeds(
      client.ask(9, '0400000000000000 00000000 04000000'),
      '0400000000000000 00000000 04000000 00000080',
    );
    for (const payload of ['', '01000000', '0100000000000000', `0200000000000000 ${one('0000000000000000')}`])
      fails(client.ask(15, payload), EINVAL, payload);
    fails(client.ask(15, '0100000000000000 0400000000000000 00000000 09000000 0000000000000000'), EINVAL);
  });

  it('keeps the device as it is from one client to the next, but not memory and interrupts', () => {
    const first = greeted();
    succeeds(first.ask(10, '0400000000000000 07000000 02000000 0600'), '0400000000000000 07000000 02000000');
    succeeds(
      first.ask(10, '0400000000000000 00000000 04000000 01000000'),
      '0400000000000000 00000000 04000000',
    );
    succeeds(first.ask(2, '20000000 03000000 0000000000000000 0000020000000000 0010000000000000'));
    const second = greeted();
    succeeds(
      second.ask(9, '0400000000000000 00000000 04000000'),
      '0400000000000000 00000000 04000000 feffffff',
    );
    fails(second.ask(3, '18000000 00000000 0000020000000000 0010000000000000'), ENOENT);
  });

  it('outlives clients that say anything', { timeout: 120_000 }, () => {
    let state = 20260929n;
    // The same numbers each time (Knuth's MMIX).
    const below = (bound: number): number => {
      state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
      return Number((state >> 33n) % BigInt(bound));
    };
    for (let round = 0; round < 60; round++) {
      const client = round % 4 === 0 ? connect() : greeted();
      const fd = memory(1);
      for (let n = 0; n < 40; n++) {
        const payload = Buffer.from(Array.from({ length: below(48) }, () => below(256)));
        if (payload.length >= 4 && below(2) === 0) payload.writeUInt32LE(payload.length, 0);
        const header = client.header(below(20), 16 + payload.length, below(8) === 0 ? below(256) : 0);
        if (below(30) === 0) header.writeUInt32LE(below(100), 4);
        client.send(Buffer.concat([header, payload]), below(6) === 0 ? [fd] : []);
        while (client.isReadable(0)) {
          const reply = client.receive();
          for (const got of reply?.fds ?? []) closeSync(got);
          if (reply === undefined) break;
        }
      }
      closeSync(fd);
    }
    const client = greeted();
    succeeds(client.ask(9, '0000000000000000 07000000 02000000'), '0000000000000000 07000000 02000000 3412');
  });
});
