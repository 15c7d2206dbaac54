// SPDX-License-Identifier: Apache-2.0
/** A client that sends any bytes, and builds nothing by protocol.ts: what the specification says is written out by hand. */
import { Libc } from '../../native/libc.js';
import { Poll } from '../../native/poll.js';
import { UnixSockets } from '../../native/sockets.js';

export interface RawReply {
  readonly id: number;
  readonly command: number;
  readonly flags: number;
  readonly error: number;
  readonly payload: string;
  readonly fds: readonly number[];
}

export const REPLY = 1;
export const FAILED = 0x21;
const WAIT_MS = 30_000;

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const bytes = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');

export class RawClient {
  readonly libc = new Libc();
  readonly sockets = new UnixSockets(this.libc);
  readonly poll = new Poll(this.libc);
  readonly fd: number;
  #id = 0;

  constructor(path: string) {
    this.fd = this.sockets.connect(path);
    if (this.fd < 0) throw new Error(`${path}: errno ${-this.fd}`);
  }

  /** "Header": message ID, command, message size, flags, error. */
  header(command: number, size: number, flags = 0): Buffer {
    const header = Buffer.alloc(16);
    header.writeUInt16LE(++this.#id, 0);
    header.writeUInt16LE(command, 2);
    header.writeUInt32LE(size, 4);
    header.writeUInt32LE(flags, 8);
    return header;
  }

  send(message: Uint8Array, fds: readonly number[] = []): void {
    this.sockets.send(this.fd, message, fds);
  }

  command(command: number, payload: string | Uint8Array = '', fds: readonly number[] = [], flags = 0): void {
    const data = typeof payload === 'string' ? bytes(payload) : payload;
    this.send(Buffer.concat([this.header(command, 16 + data.length, flags), data]), fds);
  }

  /** undefined: the server hung up. */
  receive(from = this.fd): RawReply | undefined {
    const fds: number[] = [];
    const header = this.#read(from, 16, fds);
    if (header === undefined) return undefined;
    const payload = this.#read(from, header.readUInt32LE(4) - 16, fds);
    if (payload === undefined) return undefined;
    return {
      id: header.readUInt16LE(0),
      command: header.readUInt16LE(2),
      flags: header.readUInt32LE(8),
      error: header.readUInt32LE(12),
      payload: hex(payload),
      fds,
    };
  }

  ask(command: number, payload: string | Uint8Array = '', fds: readonly number[] = []): RawReply | undefined {
    this.command(command, payload, fds);
    return this.receive();
  }

  /** Version 0.0 with nothing said of capabilities. */
  greet(json = ''): RawReply | undefined {
    return this.ask(1, Buffer.concat([Buffer.alloc(4), Buffer.from(json === '' ? '' : `${json}\0`)]));
  }

  isReadable(milliseconds: number): boolean {
    return this.poll.readable([this.fd], milliseconds).length > 0;
  }

  close(): void {
    this.libc.close(this.fd);
  }

  #read(fd: number, length: number, fds: number[]): Buffer | undefined {
    const into = new Uint8Array(new ArrayBuffer(length));
    for (let done = 0; done < length; ) {
      if (this.poll.readable([fd], WAIT_MS).length === 0) throw new Error('the server does not answer');
      const received = this.sockets.receive(fd, into.subarray(done));
      fds.push(...received.fds);
      if (received.length <= 0) return undefined;
      done += received.length;
    }
    return Buffer.from(into);
  }
}
