// SPDX-License-Identifier: Apache-2.0
/** The finest series that anything is counted in; every table adds up some of them. */
import type { EventName } from '../../session/groups/event-name.js';
import type { Phase } from '../../session/phases/phase.js';
import { Histogram } from './histogram.js';

/** `P`: a phase, or what stands for it until it is known. */
export interface Cell<P extends string = Phase> {
  readonly name: EventName;
  readonly phase: P;
  /** Thread.id. */
  readonly thread: number;
  /** Site.id. */
  readonly site: number;
  readonly failed: boolean;
  /** Durations, ns, of the events that have one. */
  latency: Histogram | undefined;
}

/** A file may have any number of registers and call sites: what is beyond this is counted without them. */
const CELLS_MAX = 1 << 14;

export class CellTable<P extends string = Phase> {
  readonly cells: Cell<P>[] = [];
  counts = new Float64Array(256);
  /** Series that were counted without register and call site, since there were too many. */
  folded = 0;
  readonly #index = new Map<string, number>();

  /** Index of the cell. */
  find(name: EventName, phase: P, thread: number, site: number, failed: boolean): number {
    const common = `${failed ? 1 : 0} ${phase} ${thread} ${name.object} ${name.operation}`;
    const key = `${common} ${site} ${name.tier} ${name.width} ${name.region} ${name.region < 0 ? '' : name.offset}`;
    const found = this.#index.get(key);
    if (found !== undefined) return found;
    if (this.cells.length < CELLS_MAX)
      return this.#add(key, { name, phase, thread, site, failed, latency: undefined });
    this.folded++;
    const folded = this.#index.get(common);
    if (folded !== undefined) return folded;
    const plain: EventName = { ...name, offset: 0n, width: 0, register: '' };
    return this.#add(common, { name: plain, phase, thread, site: 0, failed, latency: undefined });
  }

  latency(cell: number): Histogram {
    const held = this.cells[cell] as Cell<P>;
    held.latency ??= new Histogram();
    return held.latency;
  }

  #add(key: string, cell: Cell<P>): number {
    const at = this.cells.push(cell) - 1;
    this.#index.set(key, at);
    if (at >= this.counts.length) {
      const counts = new Float64Array(2 * this.counts.length);
      counts.set(this.counts);
      this.counts = counts;
    }
    return at;
  }
}
