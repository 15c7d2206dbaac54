// SPDX-License-Identifier: Apache-2.0
/** The drivers' processes that the server knows, and where their eventfds can be reached. */
import type { Socket } from 'node:net';
import type { OpenFiles } from './open-files.js';
import { RemoteProcess } from './remote-process.js';

/** Generations that may lie between a process that has ended and the descendant that keeps its eventfds. */
const ANCESTORS_MOST = 64;

export class Processes {
  /** Why a driver's memory can't be reached, when it can't. */
  refused: string | undefined;
  readonly #processes = new Map<number, RemoteProcess>();
  readonly #services = new Map<number, Socket>();
  readonly #parents = new Map<number, number>();

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
  }

  removeService(pid: number, socket: Socket): void {
    if (this.#services.get(pid) === socket) this.#services.delete(pid);
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
    if (own !== undefined) return own.write(message) || true;
    for (const [pid, socket] of this.#services) {
      for (
        let at = this.#parents.get(pid), steps = 0;
        at !== undefined && steps < ANCESTORS_MOST;
        at = this.#parents.get(at), steps++
      ) {
        if (at === owner) return socket.write(message) || true;
      }
    }
    return false;
  }
}
