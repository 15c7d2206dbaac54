// SPDX-License-Identifier: Apache-2.0
/** Answers the shim's requests with the simulated kernel. What each means is said in abi/wire/sim.h. */
import { createServer, type Server, type Socket } from 'node:net';
import { SIM_DATA_MAX, SIM_SERVICE_BYTES, SIM_VERSION, SimType } from '../../abi/wire/sim.js';
import { EBADF, EFAULT, EIO, EPERM, EPROTO } from '../kernel/errno.js';
import type { SimulatedKernel } from '../kernel/kernel.js';
import type { Mapping } from '../kernel/process.js';
import { encodeCopies, encodeReply, FrameReader, type Reply, type Request } from './frames.js';
import { OpenFiles } from './open-files.js';
import { CallMemory } from './process-memory.js';
import { cutRanges, RemoteProcess } from './remote-process.js';

type Role = 'new' | 'file' | 'channel' | 'service';

interface Connection {
  readonly socket: Socket;
  role: Role;
  /** Of a channel or service connection. */
  process: RemoteProcess | undefined;
  /** Of a file's connection: its inode. */
  inode: bigint | undefined;
}

const MAP_TYPE = 0x0f;
const MAP_SHARED = 0x01;
const MAP_SHARED_VALIDATE = 0x03;

function isWidth(width: bigint): width is 1n | 2n | 4n | 8n {
  return width === 1n || width === 2n || width === 4n || width === 8n;
}

export class SimulatorServer {
  /** What went wrong in the simulator itself: the first of each. */
  readonly bugs: string[] = [];
  /** Why a driver's memory can't be reached, when it can't. */
  refused: string | undefined;
  readonly #files = new OpenFiles();
  readonly #processes = new Map<number, RemoteProcess>();
  readonly #services = new Map<number, Socket>();
  readonly #parents = new Map<number, number>();
  readonly #mappings = new Map<number, Mapping>();
  readonly #connections = new Set<Connection>();
  readonly #server: Server;
  #lastMapping = 0;

  constructor(readonly kernel: SimulatedKernel) {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ path, backlog: 511 }, () => resolve());
    });
  }

  /** Nobody is connected: every driver has ended. */
  get isIdle(): boolean {
    return this.#connections.size === 0;
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.#connections) socket.destroy();
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
    for (;;) {
      if (connection.role === 'service') {
        const message = frames.nextFixed(SIM_SERVICE_BYTES);
        if (message === undefined) return;
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
    if (!socket.destroyed) socket.write(encodeReply(type, reply));
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
    if (request.type === SimType.IOCTL) this.#ioctl(connection, connection.process, request);
    else if (request.type === SimType.CLOSED)
      afterTurn(() => this.#reply(connection, request, { result: 0 }));
    else {
      const reply = this.#answer(connection.process, request);
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
        connection.inode = request.file;
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
    if (request.type === SimType.SPARE) {
      this.#reply(connection, request, { result: 0 });
      return;
    }
    afterTurn(() => {
      if (connection.socket.destroyed) return;
      const process = this.#process(request.pid);
      if (process === undefined) {
        this.#reply(connection, request, { result: -EPERM });
        connection.socket.end();
        return;
      }
      if (request.type === SimType.OPEN) this.#open(connection, process, request);
      else this.#attach(connection, process, request);
    });
  }

  #attach(connection: Connection, process: RemoteProcess, request: Request): void {
    connection.process = process;
    process.connections++;
    if (!this.#parents.has(request.pid)) this.#parents.set(request.pid, Number(request.a));
    if (request.type === SimType.SERVICE) this.#services.set(request.pid, connection.socket);
    this.#reply(connection, request, { result: 0 });
  }

  #open(connection: Connection, process: RemoteProcess, request: Request): void {
    this.#forgetEnded();
    const path = Buffer.from(request.payload).toString();
    const file = this.kernel.open(process, path);
    if (typeof file === 'number') {
      this.#reply(connection, request, { result: file });
      connection.socket.end();
      return;
    }
    const { rdev } = this.#files.add(request.file, file, path);
    this.#reply(connection, request, { result: 0, a: rdev, b: BigInt(file.kind) });
  }

  #ioctl(connection: Connection, process: RemoteProcess, request: Request): void {
    const named = this.#files.get(request.file);
    if (named === undefined) {
      this.#reply(connection, request, { result: -EBADF });
      return;
    }
    const spare =
      request.d === 0n ? undefined : { fd: Number(BigInt.asIntN(32, request.c)), inode: request.d };
    const memory = new CallMemory(process.memory, request.b, request.payload);
    const { value, done } = process.service.during(() =>
      process.withSpare(spare, () =>
        this.kernel.ioctl(process, named.file, Number(BigInt.asUintN(32, request.a)), request.b, memory),
      ),
    );
    if (value.installed !== undefined && spare !== undefined)
      this.#files.add(spare.inode, value.installed, undefined);
    const reply: Reply = {
      result: value.value,
      a: value.installed === undefined ? 0n : 1n,
      b: BigInt(value.installed?.kind ?? 0),
      payload: encodeCopies(memory.copies),
    };
    if (done === undefined) this.#reply(connection, request, reply);
    else void done.then(() => this.#reply(connection, request, reply));
  }

  /** Everything that is answered at once; undefined for what no shim sends. */
  #answer(process: RemoteProcess, request: Request): Reply | undefined {
    const { type, file, a, b, c, payload } = request;
    switch (type) {
      case SimType.LOAD: {
        if (!isWidth(b)) return undefined;
        const value = this.#mappings.get(Number(file))?.load(Number(a), Number(b) as 1 | 2 | 4 | 8);
        return value === undefined ? { result: -EFAULT } : { result: 0, a: value };
      }
      case SimType.STORE: {
        if (!isWidth(b)) return undefined;
        const width = Number(b) as 1 | 2 | 4 | 8;
        const value = BigInt.asUintN(8 * width, c);
        const stored = this.#mappings.get(Number(file))?.store(Number(a), width, value) ?? false;
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
        return {
          result:
            type === SimType.WRITE ? this.kernel.write(found, from) : this.kernel.pwrite(found, from, a),
        };
      }
      case SimType.MMAP:
        return this.#mmap(process, request);
      case SimType.MUNMAP:
        this.#unmap(process, a, a + b);
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
        this.#parents.set(child, process.pid);
        const forked = this.#process(child);
        if (forked !== undefined && forked.ranges.length === 0) forked.ranges = [...process.ranges];
        return { result: 0 };
      }
      default:
        return undefined;
    }
  }

  #mmap(process: RemoteProcess, { file, a, b, c, d }: Request): Reply {
    const found = this.#files.get(file)?.file;
    if (found === undefined) return { result: -EBADF };
    const kind = Number((d >> 32n) & BigInt(MAP_TYPE));
    const shared = kind === MAP_SHARED || kind === MAP_SHARED_VALIDATE;
    const mapping = this.kernel.mmap(found, { offset: c, length: b, shared });
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
    const live = new Set([...this.#processes.values()].flatMap(({ ranges }) => ranges.map(({ id }) => id)));
    for (const [id, mapping] of this.#mappings) {
      if (live.has(id)) continue;
      this.#mappings.delete(id);
      mapping.unmap();
    }
  }

  #process(pid: number): RemoteProcess | undefined {
    const known = this.#processes.get(pid);
    if (known !== undefined) return known;
    try {
      const process = new RemoteProcess(pid, this.#files, (message) => this.#toService(pid, message));
      this.#processes.set(pid, process);
      return process;
    } catch (error) {
      this.refused ??= error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }

  /** Children that never said a word and have ended, or run another program by now: what they had mapped is unmapped. */
  #forgetEnded(): void {
    for (const process of this.#processes.values()) {
      const [first] = process.ranges;
      if (process.connections > 0 || first === undefined) continue;
      if (process.memory.read(first.start, new Uint8Array(1))) continue;
      this.#processes.delete(process.pid);
      process.close();
    }
    this.#dropUnmapped();
  }

  /** To the process itself, else to a descendant: a fork has the parent's eventfds at the same numbers. */
  #toService(owner: number, message: Buffer): boolean {
    const own = this.#services.get(owner);
    if (own !== undefined) return own.write(message) || true;
    for (const [pid, socket] of this.#services) {
      for (
        let at = this.#parents.get(pid), steps = 0;
        at !== undefined && steps < 64;
        at = this.#parents.get(at), steps++
      ) {
        if (at === owner) return socket.write(message) || true;
      }
    }
    return false;
  }

  #hungUp(connection: Connection): void {
    this.#connections.delete(connection);
    if (connection.inode !== undefined) {
      const file = this.#files.remove(connection.inode);
      if (file !== undefined) this.kernel.close(file);
    }
    const { process } = connection;
    if (process === undefined) return;
    if (connection.role === 'service') {
      if (this.#services.get(process.pid) === connection.socket) this.#services.delete(process.pid);
      process.service.gone();
    }
    process.connections--;
    if (process.connections > 0) return;
    if (this.#processes.get(process.pid) === process) this.#processes.delete(process.pid);
    process.close();
    this.#dropUnmapped();
  }
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
