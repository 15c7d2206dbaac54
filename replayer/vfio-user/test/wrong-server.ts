// SPDX-License-Identifier: Apache-2.0
/**
 * A server that is wrong in one way, in a thread of its own: it describes a small PCI device as it should, and does at one
 * command what its `fault` says. It tells what is written to its regions. Bytes are written out by hand, as in raw-client.ts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Libc } from '../../native/libc.js';
import { UnixSockets } from '../../native/sockets.js';

export interface WrongServer {
  readonly path: string;
  /** The command at which it happens; 0: never. */
  readonly at: number;
  readonly fault:
    | 'none'
    | 'hang-up'
    | 'error'
    | 'empty'
    | 'short'
    | 'small-size'
    | 'huge-size'
    | 'another-id'
    | 'command-instead'
    | 'version-2'
    | 'no-json'
    | 'twin-without-socket'
    | 'stray-dma'
    | 'descriptors'
    | 'ones';
}

const REGION_WRITE = 10;

const { path, at, fault } = workerData as WrongServer;
const libc = new Libc();
const sockets = new UnixSockets(libc);
const listening = sockets.listen(path);
parentPort?.postMessage('listening');
const fd = sockets.accept(listening);

function read(length: number): Buffer | undefined {
  const into = new Uint8Array(new ArrayBuffer(length));
  for (let done = 0; done < length; ) {
    const { length: more } = sockets.receive(fd, into.subarray(done));
    if (more <= 0) return undefined;
    done += more;
  }
  return Buffer.from(into);
}

function message(id: number, command: number, flags: number, error: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt16LE(id, 0);
  header.writeUInt16LE(command, 2);
  header.writeUInt32LE(16 + payload.length, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(error, 12);
  return Buffer.concat([header, payload]);
}

/** Type 0 header: ids, one 32-bit BAR, no capabilities. */
function config(): Buffer {
  const bytes = Buffer.alloc(256);
  bytes.writeUInt32LE(0x0001_1234, 0);
  bytes.writeUInt32LE(0x00ff_0000, 8);
  bytes[0x3d] = 1;
  return bytes;
}

function answer(command: number, payload: Buffer): Uint8Array {
  const words = (...values: number[]): Buffer => {
    const bytes = Buffer.alloc(4 * values.length);
    values.forEach((value, i) => {
      bytes.writeUInt32LE(value >>> 0, 4 * i);
    });
    return bytes;
  };
  switch (command) {
    case 1:
      return Buffer.alloc(4);
    case 4:
      return words(16, 3, 9, 5);
    case 5: {
      const index = payload.readUInt32LE(8);
      return words(32, 3, index, 0, index === 0 ? 4096 : index === 7 ? 256 : 0, 0, 0, 0);
    }
    case 7:
      return words(16, 7, payload.readUInt32LE(8), payload.readUInt32LE(8) === 0 ? 1 : 0);
    case 9: {
      const [offset, count] = [Number(payload.readBigUInt64LE(0)), payload.readUInt32LE(12)];
      const data =
        payload.readUInt32LE(8) === 7 ? config().subarray(offset, offset + count) : Buffer.alloc(count, 0x5a);
      return Buffer.concat([payload, data]);
    }
    case 10:
      return payload.subarray(0, 16);
    default:
      return Buffer.alloc(0);
  }
}

/** False: the connection is to end. */
function misbehave(id: number, command: number, good: Uint8Array): boolean {
  const send = (bytes: Uint8Array, fds: readonly number[] = []): void => void sockets.send(fd, bytes, fds);
  const reply = (payload: Uint8Array): void => send(message(id, command, 1, 0, payload));
  const sized = (size: number): Buffer => {
    const bytes = message(id, command, 1, 0, good);
    bytes.writeUInt32LE(size, 4);
    return bytes;
  };
  const json = (text: string): Buffer => Buffer.concat([Buffer.alloc(4), Buffer.from(`${text}\0`)]);
  switch (fault) {
    case 'none':
      reply(good);
      return true;
    case 'hang-up':
      return false;
    case 'error':
      send(message(id, command, 0x21, 13, new Uint8Array()));
      return true;
    case 'empty':
      reply(new Uint8Array());
      return true;
    case 'short':
      reply(good.subarray(0, Math.max(0, good.length - 1)));
      return true;
    case 'small-size':
      send(sized(3));
      return true;
    case 'huge-size':
      send(sized(0xffff_ffff));
      return true;
    case 'another-id':
      // Somebody else's reply, then ours.
      send(message(id ^ 0x55, command, 1, 0, new Uint8Array(3)));
      reply(good);
      return true;
    case 'command-instead':
      // A command that only clients send, and half a DMA_READ; both get an error, and the reply follows.
      send(message(7, 4, 0, 0, new Uint8Array(16)));
      send(message(8, 11, 0, 0, new Uint8Array(5)));
      for (const expected of [4, 11]) {
        const header = read(16);
        if (header?.readUInt16LE(2) !== expected || header.readUInt32LE(8) !== 0x21) return false;
      }
      reply(good);
      return true;
    case 'version-2':
      reply(Buffer.from([2, 0, 0, 0]));
      return true;
    case 'no-json':
      reply(json('{"capabilities":'));
      return true;
    case 'twin-without-socket':
      reply(json('{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}'));
      return true;
    case 'stray-dma': {
      // Reads and writes where nothing is mapped, and more than was agreed on: errors; then the reply.
      const access = (address: bigint, count: bigint): Buffer => {
        const bytes = Buffer.alloc(16);
        bytes.writeBigUInt64LE(address, 0);
        bytes.writeBigUInt64LE(count, 8);
        return bytes;
      };
      send(message(1, 11, 0, 0, access(0x1000n, 64n)));
      send(message(2, 12, 0, 0, Buffer.concat([access(0x1000n, 4n), Buffer.alloc(4)])));
      send(message(3, 11, 0, 0, access(0n, 1n << 40n)));
      for (const errno of [14, 14, 22]) if (read(16)?.readUInt32LE(12) !== errno) return false;
      reply(good);
      return true;
    }
    case 'descriptors':
      send(message(id, command, 1, 0, good), [fd, fd, fd]);
      return true;
    case 'ones':
      reply(new Uint8Array(good.length).fill(0xff));
      return true;
  }
}

for (;;) {
  const header = read(16);
  if (header === undefined) break;
  const payload = read(header.readUInt32LE(4) - 16) ?? Buffer.alloc(0);
  const [id, command] = [header.readUInt16LE(0), header.readUInt16LE(2)];
  const good = answer(command, payload);
  if (command === REGION_WRITE) parentPort?.postMessage(payload.toString('hex'));
  if (command === at) {
    if (!misbehave(id, command, good)) break;
  } else sockets.send(fd, message(id, command, 1, 0, good));
}
libc.close(fd);
libc.close(listening);
