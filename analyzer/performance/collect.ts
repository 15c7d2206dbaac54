// SPDX-License-Identifier: Apache-2.0
/** Counts and measures all that `stats` and the charts tell, batch by batch, in constant memory. */

import { IOAS_MAP, IOAS_UNMAP } from '../../abi/iommufd/ioas.js';
import { LYON_DMA_MAP } from '../../abi/lyon2010/ioctls.js';
import { DMA_MAP, DMA_UNMAP } from '../../abi/vfio/type1.js';
import { type EventName, isAccess } from '../../session/groups/event-name.js';
import { GroupFollower, PayloadCursor } from '../../session/groups/follow.js';
import { RESETS } from '../../session/phases/marks.js';
import type { ColumnName, EventBatch } from '../../traces/columns.js';
import { wordsNumber } from '../../traces/event-of-row.js';
import { EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { CellTable } from './cells.js';
import { Chains, type QueueChain } from './chains.js';
import type { Histogram } from './histogram.js';
import { countRead, countWake, Interrupts, type VectorCounts } from './interrupts.js';
import { queueRegister } from './queues.js';

/** Where the length of a mapping is in an ioctl's argument. */
const MAPPING_LENGTHS: Readonly<Record<string, { readonly at: number; readonly role: number }>> = {
  VFIO_IOMMU_MAP_DMA: { at: DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  VFIO_IOMMU_UNMAP_DMA: { at: DMA_UNMAP.fields.size.offset, role: PayloadRole.OUT },
  IOMMU_IOAS_MAP: { at: IOAS_MAP.fields.length.offset, role: PayloadRole.IN },
  IOMMU_IOAS_UNMAP: { at: IOAS_UNMAP.fields.length.offset, role: PayloadRole.OUT },
  VFIO_DMA_MAP_IOVA: { at: LYON_DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  VFIO_DMA_MAP_ANYWHERE: { at: LYON_DMA_MAP.fields.size.offset, role: PayloadRole.IN },
  VFIO_DMA_UNMAP: { at: LYON_DMA_MAP.fields.size.offset, role: PayloadRole.IN },
};

/** They give an interrupt to KVM: in this order, or the other. */
const TO_KERNEL: ReadonlySet<string> = new Set(['KVM_IRQFD', 'VFIO_DEVICE_SET_IRQS']);

/** What is done for the rows of a group beside counting them: bits. */
const Act = {
  APPLY: 0x01,
  SUBMIT: 0x02,
  COMPLETE: 0x04,
  WAKE: 0x08,
  EVENTFD_READ: 0x10,
  MAPPING: 0x20,
  RESET: 0x40,
  TOUCH: 0x80,
} as const;

export interface MappingCost {
  readonly object: number;
  readonly operation: string;
  calls: number;
  failed: number;
  bytes: number;
  /** ns, of those that succeeded. */
  total: number;
}

export interface ResetTime {
  readonly object: number;
  readonly operation: string;
  /** ns since the start of the recording. */
  readonly at: number;
  /** ns */
  readonly duration: number;
  readonly ok: boolean;
}

/** Of these, beside what groups have in common. */
export const COLLECTED: readonly ColumnName[] = ['time', 'duration', 'value'];

const WORD = 0x1_0000_0000;
const UNRESOLVED = -1;
/** So many resets are listed; all are counted with the operations. */
const RESETS_MAX = 1000;
/** Gaps between accesses are looked for in so many events of each chunk. */
const GAP_EVENTS = 1024;

interface GroupState {
  cell: number;
  act: number;
  name: EventName;
  chain: QueueChain | undefined;
  vector: VectorCounts | undefined;
  mapping: MappingCost | undefined;
  latency: Histogram | undefined;
}

/** Which phase an event belongs to, or what stands for it; asked in the order of events. */
export interface Cursor<P extends string> {
  /** From this event on another one may be told. */
  readonly next: number;
  advance(event: number): boolean;
  of(device: number): P;
}

export class Collection<P extends string> {
  readonly follower: GroupFollower;
  readonly trace: Trace;
  readonly table = new CellTable<P>();
  readonly chains = new Chains();
  readonly interrupts = new Interrupts();
  readonly mappings = new Map<string, MappingCost>();
  readonly resets: ResetTime[] = [];
  events = 0;
  /** ns since the start of the recording: when the first event was entered, when the last one was done. */
  firstTime = 0;
  lastTime = 0;
  /** The smallest time between two patched accesses of one thread, ns: what recording one takes, at the most. */
  smallestGap = Number.POSITIVE_INFINITY;
  readonly #payloads = new PayloadCursor();
  readonly #cursor: Cursor<P>;
  readonly #ticksPerSecond: number;
  /** By group: what it is, and of that the two that each row asks for. */
  readonly #states: GroupState[] = [];
  #cells = new Int32Array(0);
  #acts = new Uint8Array(0);
  #epoch = -1;

  constructor(trace: Trace, cursor: Cursor<P>) {
    this.trace = trace;
    this.#cursor = cursor;
    this.follower = new GroupFollower(trace);
    this.#ticksPerSecond = trace.ticksPerSecond;
  }

  /** The next batch: with groups, COLLECTED and payloads. */
  add(batch: EventBatch): void {
    const groups = this.follower.begin(batch);
    if (this.#cells.length < groups.count) {
      this.#cells = new Int32Array(groups.count);
      this.#acts = new Uint8Array(groups.count);
    }
    this.#cells.fill(UNRESOLVED);
    this.#epoch = this.follower.epoch;
    if (this.events === 0)
      this.firstTime = this.#time(batch, batch.begin) - this.#duration(batch, batch.begin);
    this.#count(batch, groups.of);
    this.events += batch.end - batch.begin;
    this.lastTime = Math.max(this.lastTime, this.#time(batch, lastRow(batch)));
    this.#gaps(batch, groups.of);
  }

  #count(batch: EventBatch, of: Uint16Array): void {
    const { durationWords, firstEvent, begin, end } = batch;
    const { table, chains } = this;
    const cursor = this.#cursor;
    const ticksPerSecond = this.#ticksPerSecond;
    const states = this.#states;
    const cells = this.#cells;
    const acts = this.#acts;
    let { counts } = table;
    let change = cursor.next - firstEvent;
    for (let row = begin; row < end; row++) {
      if (row >= change) {
        // Series are of a phase.
        cursor.advance(firstEvent + row);
        change = cursor.next - firstEvent;
        cells.fill(UNRESOLVED);
      }
      const group = of[row] as number;
      if (cells[group] === UNRESOLVED) {
        const state = this.#resolve(batch, group);
        states[group] = state;
        cells[group] = state.cell;
        acts[group] = state.act;
        ({ counts } = table);
      }
      const cell = cells[group] as number;
      counts[cell] = (counts[cell] as number) + 1;
      const low = durationWords[2 * row] as number;
      const high = durationWords[2 * row + 1] as number;
      if ((low | high) !== 0) {
        const state = states[group] as GroupState;
        if (state.latency === undefined) state.latency = table.latency(cell);
        state.latency.add(Math.round(((low + high * WORD) * 1e9) / ticksPerSecond));
      }
      const act = acts[group] as number;
      if (act === 0 || (act === Act.TOUCH && chains.awaiting === 0)) continue;
      const state = states[group] as GroupState;
      if (act === (Act.SUBMIT | Act.TOUCH) && chains.awaiting === 0)
        this.#submit(state.chain as QueueChain, batch, row);
      else {
        this.#act(state, batch, group, row);
        acts[group] = state.act;
        if (this.#epoch !== this.follower.epoch) {
          this.#epoch = this.follower.epoch;
          cells.fill(UNRESOLVED);
        }
      }
    }
  }

  #submit(chain: QueueChain, batch: EventBatch, row: number): void {
    chain.doorbells++;
    if (chain.oldest < 0) chain.oldest = this.#time(batch, row);
  }

  #resolve(batch: EventBatch, group: number): GroupState {
    const { follower, chains } = this;
    const name = follower.name(group);
    const row = (batch.groups?.rows[group] ?? 0) as number;
    const failed = batch.errno[row] !== 0;
    let act = 0;
    if (follower.applies(group)) act |= Act.APPLY;
    let chain: QueueChain | undefined;
    let vector: VectorCounts | undefined;
    let mapping: MappingCost | undefined;
    if (isAccess(name.kind)) {
      const queue = name.kind === EventKind.LOAD ? undefined : queueRegister(name.register);
      if (queue !== undefined) {
        chain = chains.queue(name.object, queue);
        if (!queue.queue.startsWith('queue')) chains.setPlain(name.object);
        if (chain !== undefined) act |= queue.role === 'submit' ? Act.SUBMIT : Act.COMPLETE;
      }
      act |= Act.TOUCH;
    } else if (name.route !== undefined && !failed && name.route.role === 'trigger') {
      vector = this.interrupts.of(name.route);
      if (vector !== undefined) act |= name.kind === EventKind.WAKE ? Act.WAKE : Act.EVENTFD_READ;
      if (name.operation === 'eventfd write') act &= ~Act.EVENTFD_READ;
    } else if (name.kind === EventKind.IOCTL) {
      mapping = this.#mapping(name);
      if (mapping !== undefined) act |= Act.MAPPING;
      if (RESETS.has(name.operation)) act |= Act.RESET;
    }
    const thread = batch.thread[row] as number;
    const site = batch.site[row] as number;
    const phase = this.#cursor.of(name.route?.device ?? name.object);
    const cell = this.table.find(name, phase, thread, site, failed);
    return { cell, act, name, chain, vector, mapping, latency: undefined };
  }

  /** What only some rows do. */
  #act(state: GroupState, batch: EventBatch, group: number, row: number): void {
    const { act, chain } = state;
    const { chains } = this;
    if ((act & Act.TOUCH) !== 0 && chains.awaiting > 0)
      chains.touch(state.name.object, threadOf(batch, group), this.#time(batch, row));
    if (chain !== undefined) {
      if ((act & Act.SUBMIT) !== 0) this.#submit(chain, batch, row);
      // A ring that gives buffers back answers nothing.
      else if (chain.oldest < 0 && chains.isPlain(chain.device)) chain.completions++;
      else chains.complete(chain, threadOf(batch, group), this.#time(batch, row));
    }
    if ((act & Act.APPLY) !== 0) {
      if (!this.follower.apply(group, row)) state.act &= ~Act.APPLY;
      if (TO_KERNEL.has(state.name.operation)) this.#toKernel();
    }
    if (state.vector !== undefined) this.#interrupt(state.vector, act, batch, group, row);
    if (state.mapping !== undefined) this.#mapped(state.mapping, batch, group, row);
    if ((act & Act.RESET) !== 0 && this.resets.length < RESETS_MAX) {
      const duration = this.#duration(batch, row);
      const ok = batch.errno[(batch.groups?.rows[group] ?? 0) as number] === 0;
      const at = this.#time(batch, row) - duration;
      this.resets.push({ object: state.name.object, operation: state.name.operation, at, duration, ok });
    }
  }

  #interrupt(vector: VectorCounts, act: number, batch: EventBatch, group: number, row: number): void {
    const time = this.#time(batch, row);
    const { device } = vector.route;
    if ((act & Act.WAKE) !== 0) {
      countWake(vector);
      this.chains.wake(threadOf(batch, group), device, time);
    } else if ((act & Act.EVENTFD_READ) !== 0) {
      const signals =
        (batch.valueWords[2 * row] as number) + (batch.valueWords[2 * row + 1] as number) * WORD;
      countRead(vector, signals, time);
      this.chains.read(threadOf(batch, group), device, time);
    }
  }

  /** Interrupts that KVM takes wake nobody: they are listed all the same. */
  #toKernel(): void {
    for (const route of this.follower.session.interrupts.kernelRoutes()) {
      const vector = this.interrupts.of(route);
      if (vector !== undefined) vector.inKernel = true;
    }
  }

  #mapping({ object, operation }: EventName): MappingCost | undefined {
    if (!(operation in MAPPING_LENGTHS)) return undefined;
    const key = `${object} ${operation}`;
    let cost = this.mappings.get(key);
    if (cost === undefined) {
      cost = { object, operation, calls: 0, failed: 0, bytes: 0, total: 0 };
      this.mappings.set(key, cost);
    }
    return cost;
  }

  #mapped(cost: MappingCost, batch: EventBatch, group: number, row: number): void {
    cost.calls++;
    if (batch.errno[(batch.groups?.rows[group] ?? 0) as number] !== 0) {
      cost.failed++;
      return;
    }
    const { at, role } = MAPPING_LENGTHS[cost.operation] as (typeof MAPPING_LENGTHS)[string];
    cost.bytes += this.#payloads.number(batch, row, at, role) ?? 0;
    cost.total += this.#duration(batch, row);
  }

  #gaps(batch: EventBatch, of: Uint16Array): void {
    const last = new Map<number, number>();
    const end = Math.min(batch.end, batch.begin + GAP_EVENTS);
    for (let row = batch.begin; row < end; row++) {
      const state = this.#states[of[row] as number] as GroupState;
      const thread = threadOf(batch, of[row] as number);
      const time = this.#time(batch, row);
      const patched = isAccess(state.name.kind) && state.name.tier === 1;
      const before = last.get(thread);
      if (patched && before !== undefined) this.smallestGap = Math.min(this.smallestGap, time - before);
      if (patched) last.set(thread, time);
      else last.delete(thread);
    }
  }

  /**
   * ns since the start of the recording, when the event was done. When it was entered and how long it took are rounded each, as in
   * the tables that are exported: what is computed of these is the same.
   */
  #time(batch: EventBatch, row: number): number {
    const took = wordsNumber(batch.durationWords, row);
    const entered = ((wordsNumber(batch.timeWords, row) - took) * 1e9) / this.#ticksPerSecond;
    return Math.round(entered) + Math.round((took * 1e9) / this.#ticksPerSecond);
  }

  #duration(batch: EventBatch, row: number): number {
    return Math.round((wordsNumber(batch.durationWords, row) * 1e9) / this.#ticksPerSecond);
  }
}

/** The one that was done last: what other threads did is sometimes written late. */
function lastRow({ timeWords, begin, end }: EventBatch): number {
  let last = begin;
  let lastLow = timeWords[2 * begin] as number;
  let lastHigh = timeWords[2 * begin + 1] as number;
  for (let row = begin + 1; row < end; row++) {
    const low = timeWords[2 * row] as number;
    const high = timeWords[2 * row + 1] as number;
    if (high < lastHigh || (high === lastHigh && low < lastLow)) continue;
    last = row;
    lastLow = low;
    lastHigh = high;
  }
  return last;
}

function threadOf(batch: EventBatch, group: number): number {
  return batch.thread[(batch.groups?.rows[group] ?? 0) as number] as number;
}
