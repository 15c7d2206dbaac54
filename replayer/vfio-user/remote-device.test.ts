// SPDX-License-Identifier: Apache-2.0
// Servers that are wrong in one way each: the device says so in one line, or reads as ones, and nothing hangs.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { UserError } from '../../abi/user-error.js';
import { PciFunction } from '../devices/pci/function.js';
import { RemoteDevice } from './remote-device.js';
import type { WrongServer } from './test/wrong-server.js';

const scratch = mkdtempSync(join(tmpdir(), 'vfiotape-vfio-user-'));
after(() => rmSync(scratch, { recursive: true }));
let count = 0;

interface Meeting {
  readonly device: RemoteDevice;
  readonly said: readonly string[];
  /** Payloads of VFIO_USER_REGION_WRITE, once it has ended. */
  readonly written: readonly string[];
  /** Lets go of the device, and waits for the server's thread. */
  end(): Promise<void>;
}

async function meet(at: number, fault: WrongServer['fault']): Promise<Meeting> {
  const path = join(scratch, `${count++}.sock`);
  const workerData: WrongServer = { path, at, fault };
  const worker = new Worker(new URL('./test/wrong-server.js', import.meta.url), {
    workerData,
    trackUnmanagedFds: false,
  });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await new Promise((resolve) => worker.once('message', resolve));
  const said: string[] = [];
  const written: string[] = [];
  worker.on('message', (payload: string) => written.push(payload));
  const device = new RemoteDevice(path, (line) => said.push(line));
  return {
    device,
    said,
    written,
    async end() {
      device.close();
      await ended;
    },
  };
}

/** Commands: 1 version, 4 device, 5 region, 7 interrupt, 8 set interrupts, 9 read, 10 write, 13 reset. */
const REFUSED: readonly (readonly [number, WrongServer['fault'], RegExp])[] = [
  [1, 'hang-up', /does not answer as a vfio-user server does/],
  [1, 'error', /refuses VFIO_USER_VERSION: EACCES/],
  [1, 'empty', /answer to VFIO_USER_VERSION is malformed/],
  [1, 'short', /malformed/],
  [1, 'no-json', /malformed/],
  [1, 'small-size', /does not answer as a vfio-user server does/],
  [1, 'huge-size', /does not answer as a vfio-user server does/],
  [1, 'another-id', /answer to VFIO_USER_VERSION is none/],
  [1, 'version-2', /the server wants version 2\.0; there is 0\.0 here/],
  [1, 'twin-without-socket', /speaks of a twin socket, and sends none/],
  [1, 'ones', /wants version 65535|malformed/],
  [4, 'hang-up', /does not describe its device: EIO/],
  [4, 'error', /does not describe its device: EACCES/],
  [4, 'short', /is cut short/],
  [4, 'small-size', /does not describe its device: EIO/],
  [5, 'error', /does not describe its device: EACCES/],
  [5, 'empty', /is cut short/],
  [9, 'error', /configuration space can't be read: EACCES/],
];

describe('a vfio-user device', () => {
  it('is refused in one line by what is wrong before it is there', { timeout: 120_000 }, async () => {
    const before = readdirSync('/proc/self/fd').length;
    for (const [at, fault, says] of REFUSED) {
      const { device, end } = await meet(at, fault);
      assert.throws(
        () => device.pci,
        (error) => error instanceof UserError && says.test(error.message) && !error.message.includes('\n'),
        `${at} ${fault}`,
      );
      await end();
    }
    assert.ok(readdirSync('/proc/self/fd').length <= before + 2, 'descriptors are left');
  });

  it('is described as the server says, and answers', { timeout: 60_000 }, async () => {
    for (const [at, fault] of [
      [0, 'none'],
      [9, 'another-id'],
      [9, 'command-instead'],
      [9, 'stray-dma'],
      [10, 'command-instead'],
      [4, 'descriptors'],
      [7, 'error'],
      [7, 'short'],
    ] as const) {
      const { device, said, end } = await meet(at, fault);
      const fn = new PciFunction(device);
      assert.deepEqual(
        [fn.pci.vendor, fn.pci.device, fn.pci.classCode, fn.pci.bars[0]],
        [0x1234, 1, 0xff00, { size: 4096, kind: 'memory32', prefetchable: false }],
        `${at} ${fault}`,
      );
      fn.configWrite(4, 2, 2);
      assert.equal(fn.barRead(0, 0, 4), 0x5a5a_5a5an);
      fn.barWrite(0, 8, 4, 1n);
      assert.deepEqual(said, []);
      await end();
    }
  });

  it('keeps Interrupt Disable to itself, by which the kernel masks INTx', async () => {
    const { device, written, end } = await meet(0, 'none');
    const fn = new PciFunction(device);
    fn.configWrite(4, 2, 0x0007);
    fn.configWrite(4, 2, 0x0407);
    fn.configWrite(5, 1, 0x00);
    fn.configWrite(4, 4, 0x0403);
    fn.configWrite(4, 2, 0x0007);
    fn.configWrite(4, 1, 0x06);
    await end();
    // Command's reset, and what changes something else.
    const place = '040000000000000007000000';
    assert.deepEqual(written, [
      `${place}020000000000`,
      `${place}020000000700`,
      `${place}0400000003000000`,
      `${place}020000000700`,
      `${place}0100000006`,
    ]);
  });

  it('reads as ones, and says why, when its server is wrong later', { timeout: 60_000 }, async () => {
    for (const [fault, says] of [
      ['hang-up', /the server is gone: it hung up; its device reads as ones$/],
      ['small-size', /the server is gone: it sent a message of an impossible size/],
      ['huge-size', /impossible size/],
    ] as const) {
      const { device, said, end } = await meet(10, fault);
      // The first write is the one that resets the command register.
      const fn = new PciFunction(device);
      assert.equal(fn.removed, true, fault);
      assert.equal(fn.barRead(0, 0, 4), 0xffff_ffffn);
      assert.equal(fn.configRead(0, 4), 0xffff_ffff);
      assert.equal(said.length, 1);
      assert.match(said[0] as string, says);
      await end();
    }
    for (const fault of ['error', 'empty', 'short'] as const) {
      const { device, end } = await meet(10, fault);
      const fn = new PciFunction(device);
      fn.configWrite(4, 2, 2);
      assert.equal(fn.barRead(0, 0, 4), 0x5a5a_5a5an, 'what a write is answered changes nothing');
      await end();
    }
  });

  it('says what the server refuses of interrupts, reset and memory', { timeout: 60_000 }, async () => {
    for (const [at, says] of [
      [8, /it refuses eventfds for INTx$/],
      [13, /VFIO_USER_DEVICE_RESET: EACCES$/],
      [2, /the server refuses to map 0x1000-0x1fff: EACCES$/],
      [3, /the server refuses to unmap 0x1000-0x1fff: EACCES$/],
    ] as const) {
      const { device, said, end } = await meet(at, 'error');
      const fn = new PciFunction(device);
      const range = { start: 0x1000n, last: 0x1fffn, readable: true, writable: true };
      for (const mapped of [true, false]) fn.device.memoryChanged?.({ ...range, mapped });
      assert.match(said[0] ?? '', says);
      await end();
    }
  });
});
