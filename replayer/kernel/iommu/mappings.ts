// SPDX-License-Identifier: Apache-2.0
/** IOVA to process memory: a sorted list of mappings, as both type 1 and iommufd keep it. */
import type { Process } from '../process.js';
import type { Range } from './ranges.js';

export const DMA_READ = 1;
export const DMA_WRITE = 2;

export interface DmaMapping extends Range {
  readonly process: Process;
  /** Of the first byte. */
  readonly address: bigint;
  /** From the device's view: DMA_READ, DMA_WRITE. */
  readonly protection: number;
  /** A mapping of device memory: there is nothing to pin or count. */
  readonly device: boolean;
  /** Grows from one mapping to the next that is made. */
  readonly sequence: number;
}

/** Hears which addresses a device may reach. */
export interface MappingWatcher {
  mapped(mapping: DmaMapping): void;
  unmapped(mapping: DmaMapping): void;
}

/** What an IOMMU looks up: iommu_domain. */
export interface AddressSpace {
  lookup(iova: bigint): DmaMapping | undefined;
  /** By address; undefined where any address leads somewhere. */
  readonly mappings?: readonly DmaMapping[];
  /** Tells what is mapped, and what changes until the result is called: then all of it is unmapped for the watcher. */
  watch?(watcher: MappingWatcher): () => void;
}

let sequence = 0;

export function nextSequence(): number {
  return ++sequence;
}

export class MappingList<M extends DmaMapping> {
  readonly #watchers = new Set<MappingWatcher>();
  #sorted: M[] = [];

  get all(): readonly M[] {
    return this.#sorted;
  }

  /** The first mapping that reaches into the range, lowest address first. */
  first(start: bigint, last: bigint): M | undefined {
    const found = this.#sorted[this.#position(start)];
    return found !== undefined && found.start <= last ? found : undefined;
  }

  at(address: bigint): M | undefined {
    return this.first(address, address);
  }

  /** All that reach into the range. */
  within(start: bigint, last: bigint): readonly M[] {
    const from = this.#position(start);
    let to = from;
    while (to < this.#sorted.length && (this.#sorted[to] as M).start <= last) to++;
    return this.#sorted.slice(from, to);
  }

  /** The caller has made sure that nothing overlaps. */
  insert(mapping: M): void {
    this.#sorted.splice(this.#position(mapping.start), 0, mapping);
    for (const watcher of this.#watchers) watcher.mapped(mapping);
  }

  remove(mapping: M): void {
    const at = this.#position(mapping.start);
    if (this.#sorted[at] !== mapping) return;
    this.#sorted.splice(at, 1);
    this.#gone([mapping]);
  }

  /** Neighbours, in order: one by one, 65535 of them would take seconds. */
  removeRun(run: readonly M[]): void {
    const [first] = run;
    if (first === undefined) return;
    this.#sorted.splice(this.#position(first.start), run.length);
    this.#gone(run);
  }

  clear(): void {
    const all = this.#sorted;
    this.#sorted = [];
    this.#gone(all);
  }

  /** AddressSpace.watch() */
  watch(watcher: MappingWatcher): () => void {
    for (const mapping of this.#sorted) watcher.mapped(mapping);
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
      for (const mapping of this.#sorted) watcher.unmapped(mapping);
    };
  }

  #gone(mappings: readonly M[]): void {
    for (const watcher of this.#watchers) for (const mapping of mappings) watcher.unmapped(mapping);
  }

  /** Index of the first mapping that ends at or after the address. */
  #position(address: bigint): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] as M).last < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
