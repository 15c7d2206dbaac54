// SPDX-License-Identifier: Apache-2.0
/**
 * The other end of the shim's connections, for its own tests: a group with one device, whose regions are memory. It says
 * what it knows (open files, mapped bytes) by requests that no kernel has, so that the driver can check it.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { ObjectKind } from '../../../../abi/wire/record.js';
import {
  SIM_COPY_BYTES,
  SIM_NODE_MODE,
  SIM_REPLY_BYTES,
  SIM_REQUEST_BYTES,
  SIM_ROOT,
  SIM_SERVICE_BYTES,
  SIM_SOCKET,
  SIM_VERSION,
  SimCopyField,
  SimReplyField,
  SimRequestField,
  SimServiceField,
  SimServiceType,
  SimType,
} from '../../../../abi/wire/sim.js';

const ENOENT = 2;
const EBADF = 9;
const EFAULT = 14;
const EINVAL = 22;
const ENOTTY = 25;
const EPROTO = 71;

const PAGE = 4096;
export const REGION_BYTES = 4 * PAGE;
/** Accesses to a mapping at and above this are refused. */
export const REFUSED_FROM = 3 * PAGE;

interface File {
  readonly kind: number;
  readonly device: bigint;
  readonly name: string;
}

interface Mapping {
  readonly id: number;
  readonly region: number;
  readonly offset: number;
}

interface Range {
  readonly pid: number;
  readonly start: bigint;
  readonly end: bigint;
}

interface Request {
  readonly type: number;
  readonly version: number;
  readonly pid: number;
  readonly file: bigint;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
  readonly d: bigint;
  readonly payload: Buffer;
}

interface Answer {
  readonly result: number;
  readonly a?: bigint;
  readonly b?: bigint;
  readonly payload?: Buffer;
}

const NODES: Readonly<
  Record<string, { readonly kind: number; readonly major: number; readonly minor: number }>
> = {
  '/dev/vfio/vfio': { kind: ObjectKind.CONTAINER, major: 10, minor: 196 },
  '/dev/vfio/7': { kind: ObjectKind.GROUP, major: 511, minor: 7 },
};

const makedev = (major: number, minor: number): bigint => (BigInt(major) << 8n) | BigInt(minor);

export class TestServer {
  readonly directory = mkdtempSync(join(tmpdir(), 'vft-'));
  readonly regions = new Map<number, Buffer>();
  readonly #files = new Map<bigint, File>();
  readonly #mappings = new Map<number, Mapping>();
  #ranges: Range[] = [];
  readonly #services = new Map<number, Socket>();
  readonly #taken = new Map<bigint, (result: bigint) => void>();
  readonly #connections = new Set<Socket>();
  readonly #channels = new Map<Socket, number>();
  #tokens = 0n;
  fired = 0n;
  readonly #server = createServer((socket) => this.#accept(socket));

  async start(): Promise<void> {
    for (const [path, { major, minor }] of Object.entries(NODES)) {
      const file = join(this.directory, SIM_ROOT, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, '');
      truncateSync(file, major * 2 ** 20 + minor);
      chmodSync(file, SIM_NODE_MODE | 0o666);
    }
    const device = join(this.directory, SIM_ROOT, 'sys/devices/pci0000:00/0000:00:04.0');
    mkdirSync(device, { recursive: true });
    writeFileSync(join(device, 'vendor'), '0x1234\n');
    mkdirSync(join(this.directory, SIM_ROOT, 'sys/bus/pci/devices'), { recursive: true });
    symlinkSync(
      '../../../devices/pci0000:00/0000:00:04.0',
      join(this.directory, SIM_ROOT, 'sys/bus/pci/devices/0000:00:04.0'),
    );
    await new Promise<void>((resolve) => {
      this.#server.listen(join(this.directory, SIM_SOCKET), resolve);
    });
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#connections) socket.destroy();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get openFiles(): number {
    return this.#files.size;
  }

  region(index: number): Buffer {
    let region = this.regions.get(index);
    if (region === undefined) {
      region = Buffer.alloc(REGION_BYTES);
      this.regions.set(index, region);
    }
    return region;
  }

  #accept(socket: Socket): void {
    let pending = Buffer.alloc(0);
    let file: bigint | undefined;
    let service: number | undefined;
    this.#connections.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(socket);
      const pid = this.#channels.get(socket);
      this.#channels.delete(socket);
      if (file !== undefined) this.#files.delete(file);
      if (service !== undefined) this.#services.delete(service);
      if (pid !== undefined && ![...this.#channels.values()].includes(pid))
        this.#ranges = this.#ranges.filter((range) => range.pid !== pid);
    });
    socket.on('data', (data) => {
      pending = Buffer.concat([pending, data]);
      for (;;) {
        if (service !== undefined) {
          if (pending.length < SIM_SERVICE_BYTES) return;
          this.#heard(pending.subarray(0, SIM_SERVICE_BYTES));
          pending = pending.subarray(SIM_SERVICE_BYTES);
          continue;
        }
        if (pending.length < SIM_REQUEST_BYTES) return;
        const whole = SIM_REQUEST_BYTES + pending.readUInt32LE(SimRequestField.length);
        if (pending.length < whole) return;
        const request = parse(pending.subarray(0, whole));
        pending = pending.subarray(whole);
        if (request.type === SimType.SERVICE) {
          service = request.pid;
          this.#services.set(service, socket);
        }
        if (request.type === SimType.CHANNEL) this.#channels.set(socket, request.pid);
        if (request.type === SimType.OPEN || request.type === SimType.SPARE) file = request.file;
        this.#dispatch(request, (answer) => {
          socket.write(reply(request.type, answer));
          if (request.type === SimType.OPEN && answer.result < 0) socket.end();
        });
      }
    });
  }

  #dispatch(request: Request, answer: (answer: Answer) => void): void {
    const first = request.type <= SimType.SPARE;
    if (first && request.version !== SIM_VERSION) answer({ result: -EPROTO });
    else if (request.type === SimType.OPEN || request.type === SimType.CLOSED)
      setImmediate(() => setImmediate(() => answer(this.#answer(request))));
    else if (request.type === SimType.IOCTL) this.#ioctl(request, answer);
    else answer(this.#answer(request));
  }

  #answer(request: Request): Answer {
    switch (request.type) {
      case SimType.OPEN: {
        const path = request.payload.toString();
        const node = NODES[path];
        if (node === undefined) return { result: -ENOENT };
        const device = makedev(node.major, node.minor);
        this.#files.set(request.file, { kind: node.kind, device, name: path });
        return { result: 0, a: device, b: BigInt(node.kind) };
      }
      case SimType.FILE: {
        const file = this.#files.get(request.file);
        if (file === undefined) return { result: -EBADF };
        return { result: 0, a: file.device, b: BigInt(file.kind), payload: Buffer.from(file.name) };
      }
      case SimType.READ:
      case SimType.PREAD: {
        const at = place(request.a);
        if (at === undefined) return { result: -EINVAL };
        const bytes = this.region(at.region).subarray(at.offset, at.offset + Number(request.b));
        return { result: bytes.length, payload: bytes };
      }
      case SimType.WRITE:
      case SimType.PWRITE: {
        const at = place(request.a);
        if (at === undefined) return { result: -EINVAL };
        if (BigInt(request.payload.length) < request.b) return { result: -EFAULT };
        return { result: request.payload.copy(this.region(at.region), at.offset) };
      }
      case SimType.MMAP: {
        const at = place(request.c);
        if (at === undefined || at.offset + Number(request.b) > REGION_BYTES) return { result: -EINVAL };
        const id = this.#mappings.size + 1;
        this.#mappings.set(id, { id, ...at });
        this.#ranges.push({ pid: request.pid, start: request.a, end: request.a + request.b });
        return { result: id, a: BigInt(at.region), b: BigInt(at.offset) };
      }
      case SimType.MUNMAP:
        this.#cut(request.pid, request.a, request.a + request.b);
        return { result: 0 };
      case SimType.MOVED:
        this.#cut(request.pid, request.a, request.a + request.b);
        this.#ranges.push({ pid: request.pid, start: request.c, end: request.c + request.b });
        return { result: 0 };
      case SimType.FORKED:
        this.#ranges.push(
          ...this.#ranges
            .filter((range) => range.pid === request.pid)
            .map((range) => ({ ...range, pid: Number(request.a) })),
        );
        return { result: 0 };
      case SimType.LOAD:
      case SimType.STORE:
        return this.#access(request);
      default:
        return { result: 0 };
    }
  }

  #access(request: Request): Answer {
    const mapping = this.#mappings.get(Number(request.file));
    if (mapping === undefined) return { result: -EBADF };
    const at = mapping.offset + Number(request.a);
    const width = Number(request.b);
    if (at >= REFUSED_FROM) return { result: -EFAULT };
    const bytes = this.region(mapping.region).subarray(at, at + width);
    const word = Buffer.alloc(8);
    if (request.type === SimType.LOAD) {
      bytes.copy(word);
      return { result: 0, a: word.readBigUInt64LE() };
    }
    word.writeBigUInt64LE(request.c);
    word.copy(bytes, 0, 0, width);
    return { result: 0 };
  }

  #cut(pid: number, start: bigint, end: bigint): void {
    this.#ranges = this.#ranges.flatMap((range) => {
      if (range.pid !== pid || range.end <= start || range.start >= end) return [range];
      return [
        { ...range, end: start },
        { ...range, start: end },
      ].filter((part) => part.start < part.end);
    });
  }

  #ioctl(request: Request, answer: (answer: Answer) => void): void {
    const { payload } = request;
    switch (Number(request.a)) {
      case 0x3b65: // CHECK_EXTENSION
        answer({ result: Number(request.b) });
        break;
      case 0x3b6a: // GROUP_GET_DEVICE_FD
        if (!payload.toString('latin1').startsWith('0000:00:04.0\0')) answer({ result: -ENOENT });
        else {
          this.#files.set(request.d, {
            kind: ObjectKind.DEVICE,
            device: 0n,
            name: 'anon_inode:[vfio-device]',
          });
          answer({ result: Number(request.c), a: 1n, b: BigInt(ObjectKind.DEVICE) });
        }
        break;
      case 0x3b6c: {
        // DEVICE_GET_REGION_INFO
        const info = Buffer.alloc(32);
        const index = payload.readUInt32LE(8);
        info.writeUInt32LE(32, 0);
        info.writeUInt32LE(7, 4);
        info.writeUInt32LE(index, 8);
        info.writeBigUInt64LE(BigInt(REGION_BYTES), 16);
        info.writeBigUInt64LE(BigInt(index) << 40n, 24);
        answer({ result: 0, payload: copy(request.b, info) });
        break;
      }
      case 0x3b6e: // DEVICE_SET_IRQS: signal the eventfd, and watch it
        this.#take(request.pid, payload.readInt32LE(20), (token, result) => {
          if (result !== 0n) {
            answer({ result: Number(result) });
            return;
          }
          this.#say(request.pid, SimServiceType.SIGNAL_NOW, token, () => {
            if (payload.readUInt32LE(8) === 1) this.#say(request.pid, SimServiceType.WATCH, token);
            answer({ result: 0 });
          });
        });
        break;
      case 0x3ba0: // how many files are open
        answer({ result: this.#files.size });
        break;
      case 0x3ba1: // how many bytes the process has mapped
        answer({
          result: Number(
            this.#ranges
              .filter((range) => range.pid === request.pid)
              .reduce((sum, range) => sum + range.end - range.start, 0n),
          ),
        });
        break;
      case 0x3ba2: // what a watched eventfd fired with
        answer({ result: Number(this.fired) });
        break;
      case 0x3baf: // the simulator ends
        this.stop();
        break;
      default:
        answer({ result: -ENOTTY });
    }
  }

  #take(pid: number, fd: number, done: (token: bigint, result: bigint) => void): void {
    const token = ++this.#tokens;
    this.#taken.set(token, (result) => done(token, result));
    this.#say(pid, SimServiceType.TAKE, token, undefined, fd);
  }

  #say(pid: number, type: number, token: bigint, acknowledged?: () => void, fd = -1): void {
    const message = Buffer.alloc(SIM_SERVICE_BYTES);
    message.writeUInt32LE(type, SimServiceField.type);
    message.writeInt32LE(fd, SimServiceField.fd);
    message.writeBigUInt64LE(token, SimServiceField.token);
    if (acknowledged !== undefined) this.#taken.set(token, acknowledged);
    this.#services.get(pid)?.write(message);
  }

  #heard(message: Buffer): void {
    const token = message.readBigUInt64LE(SimServiceField.token);
    const type = message.readUInt32LE(SimServiceField.type);
    if (type === SimServiceType.FIRED) this.fired += message.readBigUInt64LE(SimServiceField.value);
    else this.#taken.get(token)?.(message.readBigInt64LE(SimServiceField.result));
  }
}

function place(offset: bigint): { readonly region: number; readonly offset: number } | undefined {
  const region = Number(offset >> 40n);
  const at = Number(offset & 0xffffffffffn);
  return region > 8 || at >= REGION_BYTES ? undefined : { region, offset: at };
}

function parse(bytes: Buffer): Request {
  const at = SimRequestField;
  return {
    type: bytes.readUInt16LE(at.type),
    version: bytes.readUInt16LE(at.version),
    pid: bytes.readUInt32LE(at.pid),
    file: bytes.readBigUInt64LE(at.file),
    a: bytes.readBigUInt64LE(at.a),
    b: bytes.readBigUInt64LE(at.b),
    c: bytes.readBigUInt64LE(at.c),
    d: bytes.readBigUInt64LE(at.d),
    payload: Buffer.from(bytes.subarray(SIM_REQUEST_BYTES)),
  };
}

function reply(type: number, { result, a = 0n, b = 0n, payload = Buffer.alloc(0) }: Answer): Buffer {
  const header = Buffer.alloc(SIM_REPLY_BYTES);
  header.writeUInt32LE(payload.length, SimReplyField.length);
  header.writeUInt32LE(type, SimReplyField.type);
  header.writeBigInt64LE(BigInt(result), SimReplyField.result);
  header.writeBigUInt64LE(a, SimReplyField.a);
  header.writeBigUInt64LE(b, SimReplyField.b);
  return Buffer.concat([header, payload]);
}

function copy(address: bigint, bytes: Buffer): Buffer {
  const header = Buffer.alloc(SIM_COPY_BYTES);
  header.writeBigUInt64LE(address, SimCopyField.address);
  header.writeUInt32LE(bytes.length, SimCopyField.length);
  return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 7)]);
}
