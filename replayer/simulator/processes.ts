// SPDX-License-Identifier: Apache-2.0
/** The drivers' processes that the server knows, and where their eventfds can be reached. */
import type { Socket } from 'node:net';
import { SimServiceField, SimServiceType } from '../../abi/wire/sim.js';
import type { OpenFiles } from './open-files.js';
import { RemoteProcess } from './remote-process.js';

/** Generations that may lie between a process that has ended and the descendant that keeps its eventfds. */
const ANCESTORS_MOST = 64;
/** Interrupts that nobody has answered for are kept for whoever may take over, the latest ones. */
const UNHEARD_MOST = 4096;

interface Signal {
  readonly owner: number;
  readonly message: Buffer;
}

export class Processes {
  /** Why a driver's memory can't be reached, when it can't. */
  refused: string | undefined;
  readonly #processes = new Map<number, RemoteProcess>();
  readonly #services = new Map<number, Socket>();
  readonly #parents = new Map<number, number>();
  /** What was sent to a service and not answered: its process may end before it reads that. */
  readonly #unheard = new Map<Socket, Signal[]>();
  /** Of a process that has ended, for a child that has no service yet. */
  #orphaned: Signal[] = [];

  constructor(readonly files: OpenFiles) {}

  get(pid: number): RemoteProcess | undefined {
    const known = this.#processes.get(pid);
    if (known !== undefined) return known;
    try {
      const process = new RemoteProcess(pid, this.files, (message) => this.#toService(pid, message));
      this.#processes.set(pid, process);
      return process;
    } catch (error) {
      // A process that is no more is none that could be told to be run otherwise.
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM') this.refused ??= message;
      return undefined;
    }
  }

  setParent(pid: number, parent: number): void {
    this.#parents.set(pid, parent);
  }

  /** What the process itself says of its parent, which may have ended by now, unless the parent has told. */
  suggestParent(pid: number, parent: number): void {
    if (!this.#parents.has(pid)) this.#parents.set(pid, parent);
  }

  addService(pid: number, socket: Socket): void {
    this.#services.set(pid, socket);
    this.#pass(this.#orphaned);
  }

  /** An eventfd lives as long as anybody has it: what this service has not signalled is signalled by another one. */
  removeService(pid: number, socket: Socket): void {
    if (this.#services.get(pid) === socket) this.#services.delete(pid);
    const left = this.#unheard.get(socket);
    this.#unheard.delete(socket);
    if (left !== undefined) this.#pass([...this.#orphaned, ...left]);
  }

  heard(socket: Socket, message: Buffer): void {
    const type = message.readUInt32LE(SimServiceField.type);
    if (type !== SimServiceType.HEARD && type !== SimServiceType.SIGNALLED) return;
    const token = message.readBigUInt64LE(SimServiceField.token);
    const signals = this.#unheard.get(socket);
    const at =
      signals?.findIndex((sent) => sent.message.readBigUInt64LE(SimServiceField.token) === token) ?? -1;
    if (at !== -1) signals?.splice(at, 1);
  }

  #pass(signals: readonly Signal[]): void {
    this.#orphaned = signals
      .filter(({ owner, message }) => !this.#toService(owner, message))
      .slice(-UNHEARD_MOST);
  }

  /** Ids of all mappings of which a piece is left somewhere. */
  mapped(): ReadonlySet<number> {
    return new Set([...this.#processes.values()].flatMap(({ ranges }) => ranges.map(({ id }) => id)));
  }

  forget(process: RemoteProcess): void {
    if (this.#processes.get(process.pid) === process) this.#processes.delete(process.pid);
    process.close();
  }

  /** Children that never said a word and have ended, or run another program by now: what they had mapped is unmapped. */
  forgetEnded(): void {
    for (const process of this.#processes.values()) {
      const [first] = process.ranges;
      if (process.connections > 0 || first === undefined) continue;
      if (!process.memory.read(first.start, new Uint8Array(1))) this.forget(process);
    }
  }

  /** To the process itself, else to a descendant: a fork has the parent's eventfds at the same numbers. */
  #toService(owner: number, message: Buffer): boolean {
    const own = this.#services.get(owner);
    if (own !== undefined) return this.#send(own, owner, message);
    for (const [pid, socket] of this.#services) {
      for (
        let at = this.#parents.get(pid), steps = 0;
        at !== undefined && steps < ANCESTORS_MOST;
        at = this.#parents.get(at), steps++
      ) {
        if (at === owner) return this.#send(socket, owner, message);
      }
    }
    return false;
  }

  #send(socket: Socket, owner: number, message: Buffer): true {
    const type = message.readUInt32LE(SimServiceField.type);
    if (type === SimServiceType.SIGNAL || type === SimServiceType.SIGNAL_NOW) {
      const signals = this.#unheard.get(socket) ?? [];
      if (signals.push({ owner, message }) > UNHEARD_MOST) signals.shift();
      this.#unheard.set(socket, signals);
    }
    socket.write(message);
    return true;
  }
}
