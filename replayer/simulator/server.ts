// SPDX-License-Identifier: Apache-2.0
/** Answers the shim's requests with the simulated kernel. What each means is said in abi/wire/sim.h. */
import { createServer, type Server, type Socket } from 'node:net';
import { SIM_DATA_MAX, SIM_SERVICE_BYTES, SIM_VERSION, SimType } from '../../abi/wire/sim.js';
import { EBADF, EFAULT, EIO, EPERM, EPROTO } from '../kernel/errno.js';
import type { SimulatedKernel } from '../kernel/kernel.js';
import { NetlinkSocket } from '../kernel/lyon2010/netlink-socket.js';
import type { Mapping } from '../kernel/process.js';
import type { CodeAddress } from './driver-site.js';
import { encodeCopies, encodeReply, FrameReader, type Reply, type Request } from './frames.js';
import { OpenFiles } from './open-files.js';
import { CallMemory } from './process-memory.js';
import { Processes } from './processes.js';
import { cutRanges, type RemoteProcess } from './remote-process.js';

type Role = 'new' | 'file' | 'channel' | 'service';

interface Connection {
  readonly socket: Socket;
  role: Role;
  /** Of a channel or service connection. */
  process: RemoteProcess | undefined;
  /** Of a file's connection: its inode, once it has been found to be nobody else's. */
  inode: bigint | undefined;
}

/** SIM_PAGES_GONE */
const ALL_GONE = 0xffff_ffff;
const PROT_WRITE = 0x2n;
const MAP_TYPE = 0x0f;
const MAP_SHARED = 0x01;
const MAP_SHARED_VALIDATE = 0x03;
const PAGE = 4096;
/** A shim reads each answer before it asks again; who lets more than this lie is none. */
const UNREAD_MOST = 4 * SIM_DATA_MAX;

function isWidth(width: bigint): width is 1n | 2n | 4n | 8n {
  return width === 1n || width === 2n || width === 4n || width === 8n;
}

export class SimulatorServer {
  /** What went wrong in the simulator itself: the first of each. */
  readonly bugs: string[] = [];
  readonly #files = new OpenFiles();
  readonly #processes = new Processes(this.#files);
  readonly #mappings = new Map<number, Mapping>();
  readonly #connections = new Set<Connection>();
  /** Files' connections, and those that are kept for a file to come. */
  readonly #sockets = new Map<bigint, Connection>();
  readonly #server: Server;
  #held = false;
  #asking: Request | undefined;
  #lastMapping = 0;

  /** `afterChange` is called before a driver hears of a call that may have changed what sysfs shows. */
  constructor(
    readonly kernel: SimulatedKernel,
    readonly afterChange: () => void = () => undefined,
  ) {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ path, backlog: 511 }, () => resolve());
    });
  }

  get refused(): string | undefined {
    return this.#processes.refused;
  }

  /** Nobody is connected: every driver has ended. */
  get isIdle(): boolean {
    return this.#connections.size === 0;
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.#connections) socket.destroy();
  }

  /** Where the driver is while a call or access of its is answered. */
  get site(): CodeAddress | undefined {
    const { pid = 0, site = 0n, type } = this.#asking ?? {};
    return site === 0n
      ? undefined
      : { pid, address: site, isCall: type !== SimType.LOAD && type !== SimType.STORE };
  }

  get isHeld(): boolean {
    return this.#held;
  }

  /** From now on nobody is answered: a driver stands where it is. */
  hold(): void {
    this.#held = true;
  }

  #accept(socket: Socket): void {
    const connection: Connection = { socket, role: 'new', process: undefined, inode: undefined };
    const frames = new FrameReader();
    this.#connections.add(connection);
    socket.on('error', () => undefined);
    let up = true;
    const hungUp = (): void => {
      if (up) this.#hungUp(connection);
      up = false;
    };
    // The end of the stream is heard in the turn in which it happened, the close a turn later.
    socket.on('end', hungUp);
    socket.on('close', hungUp);
    socket.on('data', (bytes: Buffer) => {
      frames.push(bytes);
      this.#drain(connection, frames);
    });
  }

  #drain(connection: Connection, frames: FrameReader): void {
    while (!connection.socket.destroyed && !this.#held) {
      if (connection.role === 'service') {
        const message = frames.nextFixed(SIM_SERVICE_BYTES);
        if (message === undefined) return;
        this.#processes.heard(connection.socket, message);
        connection.process?.service.receive(message);
        continue;
      }
      const request = frames.next();
      if (request === undefined) return;
      if (request === 'malformed') {
        connection.socket.destroy();
        return;
      }
      try {
        this.#handle(connection, request);
      } catch (error) {
        if (this.bugs.length < 8)
          this.bugs.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
        this.#reply(connection, request, { result: -EIO });
      }
    }
  }

  #reply({ socket }: Connection, { type }: Request, reply: Reply): void {
    if (socket.destroyed || this.#held) return;
    if (socket.writableLength > UNREAD_MOST) socket.destroy();
    else socket.write(encodeReply(type, reply));
  }

  #handle(connection: Connection, request: Request): void {
    if (connection.role === 'new') {
      this.#introduce(connection, request);
      return;
    }
    if (connection.role !== 'channel' || connection.process === undefined) {
      connection.socket.destroy();
      return;
    }
    this.#asking = request;
    try {
      this.#ask(connection, connection.process, request);
    } finally {
      this.#asking = undefined;
    }
  }

  #ask(connection: Connection, process: RemoteProcess, request: Request): void {
    if (request.type === SimType.IOCTL) this.#ioctl(connection, process, request);
    else if (request.type === SimType.CLOSED)
      afterTurn(() => this.#reply(connection, request, { result: 0 }));
    else {
      const reply = this.#answer(process, request);
      if (reply === undefined) connection.socket.destroy();
      else this.#reply(connection, request, reply);
    }
  }

  /** The first request says what the connection is. Answered after a turn: who hung up before has been heard by then. */
  #introduce(connection: Connection, request: Request): void {
    if (request.version !== SIM_VERSION) {
      this.#reply(connection, request, { result: -EPROTO });
      connection.socket.end();
      return;
    }
    switch (request.type) {
      case SimType.OPEN:
      case SimType.SPARE:
        connection.role = 'file';
        break;
      case SimType.CHANNEL:
        connection.role = 'channel';
        break;
      case SimType.SERVICE:
        connection.role = 'service';
        break;
      default:
        connection.socket.destroy();
        return;
    }
    afterTurn(() => {
      if (!this.#connections.has(connection)) return;
      if (connection.role === 'file' && !this.#claim(connection, request.file)) {
        connection.socket.destroy();
        return;
      }
      if (request.type === SimType.SPARE) {
        this.#reply(connection, request, { result: 0 });
        return;
      }
      const process = this.#processes.get(request.pid);
      if (process === undefined) {
        this.#reply(connection, request, { result: -EPERM });
        connection.socket.end();
        return;
      }
      if (request.type === SimType.OPEN) this.#open(connection, process, request);
      else this.#attach(connection, process, request);
    });
  }

  #claim(connection: Connection, inode: bigint): boolean {
    if (inode === 0n || this.#sockets.has(inode)) return false;
    this.#sockets.set(inode, connection);
    connection.inode = inode;
    return true;
  }

  #attach(connection: Connection, process: RemoteProcess, request: Request): void {
    connection.process = process;
    process.connections++;
    this.#processes.suggestParent(request.pid, Number(request.a));
    if (request.type === SimType.SERVICE) this.#processes.addService(request.pid, connection.socket);
    this.#reply(connection, request, { result: 0 });
  }

  #open(connection: Connection, process: RemoteProcess, request: Request): void {
    this.#processes.forgetEnded();
    this.#dropUnmapped();
    const path = Buffer.from(request.payload).toString();
    const file = this.kernel.open(process, path);
    // Without a channel it has made no call that the kernel would remember it by; its memory may end any time.
    if (process.connections === 0 && process.ranges.length === 0) this.#processes.forget(process);
    if (typeof file === 'number') {
      this.#reply(connection, request, { result: file });
      connection.socket.end();
      return;
    }
    if (file instanceof NetlinkSocket) file.deliver = (datagram) => deliver(connection.socket, datagram);
    const { rdev } = this.#files.add(request.file, file, path);
    this.afterChange();
    this.#reply(connection, request, { result: 0, a: rdev, b: BigInt(file.kind) });
  }

  #ioctl(connection: Connection, process: RemoteProcess, request: Request): void {
    const named = this.#files.get(request.file);
    if (named === undefined) {
      this.#reply(connection, request, { result: -EBADF });
      return;
    }
    const isSpare = this.#sockets.has(request.d) && this.#files.get(request.d) === undefined;
    const spare = isSpare ? { fd: Number(BigInt.asIntN(32, request.c)), inode: request.d } : undefined;
    const memory = new CallMemory(process.memory, request.b, request.payload);
    const { value, done } = process.service.during(() =>
      process.withSpare(spare, () =>
        this.kernel.ioctl(process, named.file, Number(BigInt.asUintN(32, request.a)), request.b, memory),
      ),
    );
    if (value.installed !== undefined && spare !== undefined)
      this.#files.add(spare.inode, value.installed, undefined);
    this.afterChange();
    const reply: Reply = {
      result: value.value,
      a: value.installed === undefined ? 0n : 1n,
      b: BigInt(value.installed?.kind ?? 0),
      payload: encodeCopies(memory.copies),
    };
    if (done === undefined) this.#reply(connection, request, reply);
    else
      void done.then((failed) =>
        this.#reply(connection, request, failed < 0 ? { ...reply, result: failed } : reply),
      );
  }

  /** Everything that is answered at once; undefined for what no shim sends. */
  #answer(process: RemoteProcess, request: Request): Reply | undefined {
    const { type, file, a, b, c, payload } = request;
    switch (type) {
      case SimType.LOAD: {
        if (!isWidth(b)) return undefined;
        const value = this.#mapping(file, a, b)?.load(Number(a), Number(b) as 1 | 2 | 4 | 8);
        return value === undefined ? { result: -EFAULT } : { result: 0, a: value };
      }
      case SimType.STORE: {
        if (!isWidth(b)) return undefined;
        const width = Number(b) as 1 | 2 | 4 | 8;
        const value = BigInt.asUintN(8 * width, c);
        const stored = this.#mapping(file, a, b)?.store(Number(a), width, value) ?? false;
        return { result: stored ? 0 : -EFAULT };
      }
      case SimType.READ:
      case SimType.PREAD: {
        const found = this.#files.get(file)?.file;
        if (found === undefined) return { result: -EBADF };
        const into = new Uint8Array(Number(b > SIM_DATA_MAX ? BigInt(SIM_DATA_MAX) : b));
        const result =
          type === SimType.READ ? this.kernel.read(found, into) : this.kernel.pread(found, into, a);
        return result > 0 ? { result, payload: into.subarray(0, result) } : { result };
      }
      case SimType.WRITE:
      case SimType.PWRITE: {
        const found = this.#files.get(file)?.file;
        if (found === undefined) return { result: -EBADF };
        const from = Uint8Array.from(payload);
        const result =
          type === SimType.WRITE ? this.kernel.write(found, from) : this.kernel.pwrite(found, from, a);
        this.afterChange();
        return { result };
      }
      case SimType.MMAP:
        return this.#mmap(process, request);
      case SimType.MUNMAP:
        this.#unmap(process, a, a + b);
        this.kernel.memoryGone(process, a, a + b);
        this.afterChange();
        return { result: 0 };
      case SimType.MOVED: {
        const moved = intersect(process.ranges, a, a + b).map((range) => ({
          ...range,
          start: range.start - a + c,
          end: range.end - a + c,
        }));
        process.ranges = [...cutRanges(cutRanges(process.ranges, a, a + b), c, c + b), ...moved];
        this.#dropUnmapped();
        return { result: 0 };
      }
      case SimType.FILE: {
        const named = this.#files.get(file);
        if (named === undefined) return { result: -EBADF };
        return { result: 0, a: named.rdev, b: BigInt(named.file.kind), payload: Buffer.from(named.name) };
      }
      case SimType.FORKED: {
        const child = Number(a);
        this.#processes.setParent(child, process.pid);
        this.kernel.forked(process);
        this.afterChange();
        if (process.ranges.length === 0) return { result: 0 };
        const forked = this.#processes.get(child);
        if (forked !== undefined && forked.ranges.length === 0) forked.ranges = [...process.ranges];
        return { result: 0 };
      }
      case SimType.CHANGED:
        if (c === BigInt(ALL_GONE) || process.memory.protectionChanges(a, a + b, Number(c)))
          this.kernel.memoryGone(process, a, a + b);
        this.afterChange();
        return { result: 0 };
      case SimType.BIND: {
        const found = this.#files.get(file)?.file;
        if (!(found instanceof NetlinkSocket)) return { result: -EBADF };
        const result = b === 0n ? 0 : found.client.bind(Number(BigInt.asUintN(32, a)));
        return { result, a: BigInt(found.client.port) };
      }
      default:
        return undefined;
    }
  }

  /** The mapping that an access lies in; mapped are whole pages. */
  #mapping(id: bigint, offset: bigint, width: bigint): Mapping | undefined {
    const mapping = this.#mappings.get(Number(id));
    const end = Math.ceil((mapping?.length ?? 0) / PAGE) * PAGE;
    return offset + width <= BigInt(end) ? mapping : undefined;
  }

  #mmap(process: RemoteProcess, { file, a, b, c, d }: Request): Reply {
    const found = this.#files.get(file)?.file;
    if (found === undefined) return { result: -EBADF };
    const kind = Number((d >> 32n) & BigInt(MAP_TYPE));
    const shared = kind === MAP_SHARED || kind === MAP_SHARED_VALIDATE;
    const writable = (d & PROT_WRITE) !== 0n;
    const mapping = this.kernel.mmap(found, { offset: c, length: b, shared, writable });
    if (typeof mapping === 'number') return { result: mapping };
    const id = ++this.#lastMapping;
    this.#mappings.set(id, mapping);
    process.ranges = [...cutRanges(process.ranges, a, a + b), { start: a, end: a + b, id }];
    this.#dropUnmapped();
    return { result: id, a: BigInt(mapping.region), b: BigInt(mapping.offset) };
  }

  #unmap(process: RemoteProcess, start: bigint, end: bigint): void {
    process.ranges = cutRanges(process.ranges, start, end);
    this.#dropUnmapped();
  }

  /** A mapping of which no piece is left in any process lets its file go. */
  #dropUnmapped(): void {
    const live = this.#processes.mapped();
    for (const [id, mapping] of this.#mappings) {
      if (live.has(id)) continue;
      this.#mappings.delete(id);
      mapping.unmap();
    }
  }

  #hungUp(connection: Connection): void {
    this.#connections.delete(connection);
    if (connection.inode !== undefined) {
      this.#sockets.delete(connection.inode);
      const file = this.#files.remove(connection.inode);
      if (file !== undefined) this.kernel.close(file);
      this.afterChange();
    }
    const { process } = connection;
    if (process === undefined) return;
    if (connection.role === 'service') {
      this.#processes.removeService(process.pid, connection.socket);
      process.service.gone();
    }
    process.connections--;
    if (process.connections > 0) return;
    this.#processes.forget(process);
    this.#dropUnmapped();
    this.afterChange();
  }
}

/** As netlink does it, what a driver doesn't take is lost at some time (ENOBUFS). */
function deliver(socket: Socket, datagram: Uint8Array): void {
  if (!socket.destroyed && socket.writableLength < UNREAD_MOST) socket.write(datagram);
}

/** After everything that has happened by now has been handled: a whole turn of the event loop. */
function afterTurn(work: () => void): void {
  setImmediate(() => setImmediate(work));
}

function intersect<T extends { readonly start: bigint; readonly end: bigint }>(
  ranges: readonly T[],
  start: bigint,
  end: bigint,
): readonly T[] {
  return ranges.flatMap((range) => {
    const from = range.start > start ? range.start : start;
    const to = range.end < end ? range.end : end;
    return from < to ? [{ ...range, start: from, end: to }] : [];
  });
}
