// SPDX-License-Identifier: Apache-2.0
import type { ProcessDefinition } from '../traces/model.js';

/** Which object a descriptor number is, in each process. An image of the same process keeps what it had. */
export class Descriptors {
  readonly #processes: ReadonlyMap<number, ProcessDefinition>;
  readonly #tables = new Map<number, Map<number, number>>();
  readonly #latestOfPid = new Map<number, number>();

  constructor(processes: ReadonlyMap<number, ProcessDefinition>) {
    this.#processes = processes;
  }

  set(process: number, fd: number, object: number): void {
    if (fd >= 0 && object !== 0) this.#table(process).set(fd, object);
  }

  get(process: number, fd: number): number | undefined {
    return this.#table(process).get(fd);
  }

  close(process: number, first: number, last: number): void {
    const table = this.#table(process);
    if (last - first < table.size) for (let fd = first; fd <= last; fd++) table.delete(fd);
    else for (const fd of [...table.keys()]) if (fd >= first && fd <= last) table.delete(fd);
  }

  /** Whether any process has a descriptor of this object. */
  holds(object: number): boolean {
    for (const table of this.#tables.values())
      for (const held of table.values()) if (held === object) return true;
    return false;
  }

  /** The objects of descriptors first to last. */
  between(process: number, first: number, last: number): readonly number[] {
    const found: number[] = [];
    for (const [fd, object] of this.#table(process)) if (fd >= first && fd <= last) found.push(object);
    return found;
  }

  /** The process is gone, and its descriptors with it. Answers which objects they were. */
  end(process: number): readonly number[] {
    const objects = new Set(this.#tables.get(process)?.values());
    this.#tables.delete(process);
    return [...objects];
  }

  #table(process: number): Map<number, number> {
    let table = this.#tables.get(process);
    if (table === undefined) {
      const definition = this.#processes.get(process);
      // After exec the same pid; after fork the parent's.
      const from =
        definition === undefined
          ? undefined
          : (this.#latestOfPid.get(definition.pid) ?? this.#latestOfPid.get(definition.parentPid));
      table = new Map(from === undefined ? [] : this.#tables.get(from));
      this.#tables.set(process, table);
      if (definition !== undefined) this.#latestOfPid.set(definition.pid, process);
    }
    return table;
  }
}
