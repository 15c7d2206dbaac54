// SPDX-License-Identifier: Apache-2.0
// A served device's DMA and interrupts, as a client has them: by its memory's descriptor, by messages, by eventfds.
import assert from 'node:assert/strict';
import { closeSync, readSync, writeSync } from 'node:fs';
import { describe, it } from 'node:test';
import { EINVAL } from '../kernel/errno.js';
import { bytes } from './test/raw-client.js';
import { connect, fails, greeted, memory, succeeds } from './test/served-edu.js';

describe('vfio-user server', () => {
  it('does DMA in shared memory, and interrupts', () => {
    const client = greeted();
    const fd = memory(2);
    writeSync(fd, Buffer.from('from the client'), 0, 15, 4096);
    succeeds(client.ask(2, '20000000 03000000 0010000000000000 0000020000000000 0010000000000000', [fd]));
    succeeds(client.ask(10, '0400000000000000 07000000 02000000 0600'), '0400000000000000 07000000 02000000');
    const eventfd = client.libc.eventfd(0, 0);
    succeeds(client.ask(8, '14000000 24000000 01000000 00000000 01000000', [eventfd]));
    const store = (offset: string, value: string): void =>
      succeeds(
        client.ask(10, `${offset}00000000000000 00000000 04000000 ${value}`),
        `${offset}00000000000000 00000000 04000000`,
      );
    const transfer = (source: string, destination: string, command: string): void => {
      store('80', source);
      store('88', destination);
      store('90', '0f000000');
      store('98', command);
      assert.equal(client.libc.pollIn(eventfd, 30_000), 1, 'no interrupt');
      client.libc.read(eventfd, new Uint8Array(8));
      store('64', '00010000');
    };
    // QEMU, docs/specs/edu.rst: 1 starts, 2 is towards memory, 4 interrupts; its buffer is at 0x40000.
    transfer('00000200', '00000400', '05000000');
    transfer('00000400', '00080200', '07000000');
    const there = Buffer.alloc(15);
    readSync(fd, there, 0, 15, 4096 + 0x800);
    assert.equal(there.toString(), 'from the client');
    // The client triggers it itself.
    succeeds(client.ask(8, '14000000 21000000 01000000 00000000 01000000'));
    assert.equal(client.libc.pollIn(eventfd, 30_000), 1);
    client.libc.close(eventfd);
    closeSync(fd);
  });

  it('masks INTx until the client unmasks it, by an eventfd of its own, which may be replaced', () => {
    const client = greeted();
    const [trigger, first, second] = [0, 0, 0].map(() => client.libc.eventfd(0, 0)) as [
      number,
      number,
      number,
    ];
    const store = (offset: string, value: string): void =>
      succeeds(
        client.ask(10, `${offset}00000000000000 00000000 04000000 ${value}`),
        `${offset}00000000000000 00000000 04000000`,
      );
    const interrupted = (): void => {
      assert.equal(client.libc.pollIn(trigger, 30_000), 1, 'no interrupt');
      client.libc.read(trigger, new Uint8Array(8));
    };
    succeeds(client.ask(10, '0400000000000000 07000000 02000000 0600'), '0400000000000000 07000000 02000000');
    fails(client.ask(8, '14000000 14000000 00000000 00000000 01000000', [first]), EINVAL, 'INTx is off');
    succeeds(client.ask(8, '14000000 24000000 00000000 00000000 01000000', [trigger]));
    succeeds(client.ask(8, '14000000 14000000 00000000 00000000 01000000', [first]));
    succeeds(client.ask(8, '14000000 14000000 00000000 00000000 01000000', [second]));
    store('60', '01000000');
    interrupted();
    // The pin is still asserted: unmasked, it interrupts again.
    client.libc.write(second, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    interrupted();
    store('64', '01000000');
    client.libc.write(second, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    store('60', '02000000');
    interrupted();
    store('64', '02000000');
    succeeds(client.ask(8, '14000000 11000000 00000000 00000000 01000000'));
    succeeds(client.ask(8, '14000000 21000000 00000000 00000000 00000000'));
    for (const fd of [trigger, first, second]) client.libc.close(fd);
  });

  it('does DMA by messages, on the twin socket and without one; commands that come meanwhile wait', () => {
    for (const twin of [false, true]) {
      const client = connect();
      const hello = client.greet(
        `{"capabilities":{"max_data_xfer_size":8,"twin_socket":{"supported":${twin}}}}`,
      );
      const commands = twin ? (hello?.fds[0] as number) : client.fd;
      succeeds(client.ask(2, '20000000 03000000 0000000000000000 0000020000000000 0010000000000000'));
      succeeds(
        client.ask(10, '0400000000000000 07000000 02000000 0600'),
        '0400000000000000 07000000 02000000',
      );
      for (const [offset, value] of [
        ['80', '00000200'],
        ['88', '00000400'],
        ['90', '0c000000'],
        ['98', '01000000'],
      ])
        succeeds(
          client.ask(10, `${offset}00000000000000 00000000 04000000 ${value}`),
          `${offset}00000000000000 00000000 04000000`,
        );
      // In pieces of what the client takes; in between it asks for something else.
      for (const [address, count] of [
        ['0000020000000000', 8],
        ['0800020000000000', 4],
      ] as const) {
        const request = client.receive(commands);
        assert.deepEqual(
          [request?.command, request?.flags, request?.payload],
          [11, 0, `${address}0${count}00000000000000`],
        );
        client.command(9, '0000000000000000 07000000 02000000');
        const reply = Buffer.concat([
          client.header(11, 32 + count, 1),
          bytes(`${address}0${count}00000000000000`),
          Buffer.alloc(count, 0x5a),
        ]);
        reply.writeUInt16LE(request?.id ?? 0, 0);
        client.sockets.send(commands, reply);
        if (twin) succeeds(client.receive(), '0000000000000000 07000000 02000000 3412');
      }
      if (!twin)
        for (let i = 0; i < 2; i++) succeeds(client.receive(), '0000000000000000 07000000 02000000 3412');
      // The transfer is over: edu's "start" bit is off.
      succeeds(
        client.ask(9, '9800000000000000 00000000 04000000'),
        '9800000000000000 00000000 04000000 00000000',
      );
      if (twin) closeSync(commands);
    }
  });
});
