// SPDX-License-Identifier: Apache-2.0
/** The shim's side of one connection, for the server's tests: says what it is told to, honest or not. */
import { fstatSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import {
  SIM_ARGUMENT_MAX,
  SIM_REPLY_BYTES,
  SIM_REQUEST_BYTES,
  SIM_SERVICE_BYTES,
  SIM_VERSION,
  SimReplyField,
  SimRequestField,
  SimServiceField,
  SimType,
} from '../../../abi/wire/sim.js';

/** No answer of a server that works takes as long, however busy the machine. */
const PATIENCE_MS = 30_000;

export interface RequestFields {
  readonly type: number;
  readonly version?: number;
  readonly pid?: number;
  readonly file?: bigint;
  readonly a?: bigint;
  readonly b?: bigint;
  readonly c?: bigint;
  readonly d?: bigint;
  readonly site?: bigint;
  /** Of the payload, when it is to be a lie. */
  readonly length?: number;
  readonly payload?: Uint8Array;
}

export interface ReplyFields {
  readonly type: number;
  readonly result: bigint;
  readonly a: bigint;
  readonly b: bigint;
  readonly payload: Buffer;
}

export interface ServiceMessage {
  readonly type: number;
  readonly fd: number;
  readonly token: bigint;
}

export function encodeRequest(fields: RequestFields): Buffer {
  const {
    type,
    version = 0,
    pid = process.pid,
    file = 0n,
    a = 0n,
    b = 0n,
    c = 0n,
    d = 0n,
    site = 0n,
  } = fields;
  const payload = fields.payload ?? new Uint8Array();
  const bytes = Buffer.alloc(SIM_REQUEST_BYTES + payload.length);
  bytes.writeUInt32LE(fields.length ?? payload.length, SimRequestField.length);
  bytes.writeUInt16LE(type, SimRequestField.type);
  bytes.writeUInt16LE(version, SimRequestField.version);
  bytes.writeUInt32LE(pid, SimRequestField.pid);
  bytes.writeUInt32LE(pid, SimRequestField.tid);
  bytes.writeBigUInt64LE(file, SimRequestField.file);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, a), SimRequestField.a);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, b), SimRequestField.b);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, c), SimRequestField.c);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, d), SimRequestField.d);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, site), SimRequestField.site);
  bytes.set(payload, SIM_REQUEST_BYTES);
  return bytes;
}

export class Client {
  readonly closed: Promise<void>;
  #bytes: Buffer = Buffer.alloc(0);
  #up = true;
  #wake: (() => void) | undefined;

  static connect(path: string): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect(path, () => resolve(new Client(socket)));
      socket.once('error', reject);
    });
  }

  private constructor(readonly socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake?.();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#up = false;
        this.#wake?.();
        resolve();
      });
    });
  }

  /** This end's descriptor, as a driver would have it. */
  get fd(): number {
    return (this.socket as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
  }

  get inode(): bigint {
    return fstatSync(this.fd, { bigint: true }).ino;
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  async ask(fields: RequestFields): Promise<ReplyFields> {
    this.send(encodeRequest(fields));
    return await this.reply();
  }

  /** The first request of a connection. */
  async introduce(type: number, fields: Partial<RequestFields> = {}): Promise<ReplyFields> {
    return await this.ask({ version: SIM_VERSION, ...fields, type });
  }

  async reply(): Promise<ReplyFields> {
    const head = await this.#take(SIM_REPLY_BYTES);
    return {
      type: head.readUInt32LE(SimReplyField.type),
      result: head.readBigInt64LE(SimReplyField.result),
      a: head.readBigUInt64LE(SimReplyField.a),
      b: head.readBigUInt64LE(SimReplyField.b),
      payload: await this.#take(head.readUInt32LE(SimReplyField.length)),
    };
  }

  async serviceMessage(): Promise<ServiceMessage> {
    const bytes = await this.#take(SIM_SERVICE_BYTES);
    return {
      type: bytes.readUInt32LE(SimServiceField.type),
      fd: bytes.readInt32LE(SimServiceField.fd),
      token: bytes.readBigUInt64LE(SimServiceField.token),
    };
  }

  sendService(type: number, token: bigint): void {
    const bytes = Buffer.alloc(SIM_SERVICE_BYTES);
    bytes.writeUInt32LE(type, SimServiceField.type);
    bytes.writeBigUInt64LE(token, SimServiceField.token);
    this.send(bytes);
  }

  /** What has arrived and was not asked for. */
  get unread(): number {
    return this.#bytes.length;
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  async #take(length: number): Promise<Buffer> {
    const limit = Date.now() + PATIENCE_MS;
    while (this.#bytes.length < length) {
      if (!this.#up) throw new Error('the server hung up');
      const left = limit - Date.now();
      if (left <= 0) throw new Error('the server does not answer');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const piece = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return piece;
  }
}

/** A process of the test's: opens files by their path and has one channel. */
export class Driver {
  private constructor(
    readonly path: string,
    readonly channel: Client,
  ) {}

  static async start(path: string): Promise<Driver> {
    const channel = await Client.connect(path);
    const { result } = await channel.introduce(SimType.CHANNEL, { a: BigInt(process.ppid) });
    if (result !== 0n) throw new Error(`no channel: ${result}`);
    return new Driver(path, channel);
  }

  async open(node: string): Promise<Client> {
    const file = await Client.connect(this.path);
    const { result } = await file.introduce(SimType.OPEN, { file: file.inode, payload: Buffer.from(node) });
    if (result !== 0n) throw new Error(`${node}: ${result}`);
    return file;
  }

  async spare(): Promise<Client> {
    const file = await Client.connect(this.path);
    await file.introduce(SimType.SPARE, { file: file.inode });
    return file;
  }

  /** An address that the shim would have fetched the argument from; nothing of the process lies there. */
  static readonly ARGUMENT = 0x1000n;

  async ioctl(
    file: Client,
    request: number,
    argument: Uint8Array | bigint = 0n,
    spare?: Client,
  ): Promise<ReplyFields> {
    const number = typeof argument === 'bigint';
    return await this.channel.ask({
      type: SimType.IOCTL,
      file: file.inode,
      a: BigInt(request),
      b: number ? argument : Driver.ARGUMENT,
      c: spare === undefined ? -1n : BigInt(spare.fd),
      d: spare === undefined ? 0n : spare.inode,
      ...(number ? {} : { payload: fetched(argument) }),
    });
  }

  /** A device through its group and a type 1 container. */
  async device(
    group: string,
    bdf: string,
  ): Promise<{ readonly files: readonly Client[]; readonly device: Client }> {
    const container = await this.open('/dev/vfio/vfio');
    const opened = await this.open(`/dev/vfio/${group}`);
    const fd = Buffer.alloc(4);
    fd.writeInt32LE(container.fd);
    await this.expect(opened, 0x3b68, fd);
    await this.expect(container, 0x3b66, 1n);
    const device = await this.spare();
    await this.expect(opened, 0x3b6a, Buffer.from(`${bdf}\0`), device);
    return { files: [container, opened, device], device };
  }

  /** An ioctl that succeeds. */
  async expect(
    file: Client,
    request: number,
    argument: Uint8Array | bigint,
    spare?: Client,
  ): Promise<ReplyFields> {
    const reply = await this.ioctl(file, request, argument, spare);
    if (reply.result < 0n) throw new Error(`ioctl 0x${request.toString(16)}: ${reply.result}`);
    return reply;
  }
}

/** As the shim sends it: with what lies behind it. */
function fetched(argument: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(SIM_ARGUMENT_MAX);
  bytes.set(argument);
  return bytes;
}
