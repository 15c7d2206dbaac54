// SPDX-License-Identifier: Apache-2.0
/** One pass over a trace that counts and measures all that `stats` and the charts tell, in constant memory. */

import { IOAS_MAP, IOAS_UNMAP } from '../../abi/iommufd/ioas.js';
import { LYON_DMA_MAP } from '../../abi/lyon2010/ioctls.js';
import { isDevice } from '../../abi/object-kinds.js';
import { IRQ_SET } from '../../abi/vfio/irqs.js';
import { DMA_MAP, DMA_UNMAP } from '../../abi/vfio/type1.js';
import { type EventName, isAccess } from '../../session/groups/event-name.js';
import { GroupFollower, PayloadCursor } from '../../session/groups/follow.js';
import { type PhaseHint, PhaseTracker, phaseHint, stopHint } from '../../session/phases.js';
import type { EventBatch } from '../../traces/columns.js';
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

const RESETS: ReadonlySet<string> = new Set([
  'VFIO_DEVICE_RESET',
  'VFIO_DEVICE_PCI_HOT_RESET',
  'VFIO_RESET_FUNCTION',
]);

/** They give an interrupt to KVM: in this order, or the other. */
const TO_KERNEL: ReadonlySet<string> = new Set(['KVM_IRQFD', 'VFIO_DEVICE_SET_IRQS']);

/** What is done for the rows of a group beside counting them: bits. */
const Act = {
  APPLY: 0x01,
  PHASE: 0x02,
  SUBMIT: 0x04,
  COMPLETE: 0x08,
  WAKE: 0x10,
  EVENTFD_READ: 0x20,
  MAPPING: 0x40,
  RESET: 0x80,
  TOUCH: 0x100,
  OPEN: 0x200,
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

export interface Opening {
  readonly device: number;
  /** ns since the start of the recording. */
  readonly opened: number;
  /** The first doorbell of a queue for I/O. */
  ready: number | undefined;
  register: string;
}

const WORD = 0x1_0000_0000;
/** So many resets are listed; all are counted with the operations. */
const RESETS_MAX = 1000;
/** Gaps between accesses are looked for in so many events of each chunk. */
const GAP_EVENTS = 4096;

interface GroupState {
  cell: number;
  act: number;
  name: EventName;
  hint: PhaseHint;
  chain: QueueChain | undefined;
  vector: VectorCounts | undefined;
  latency: Histogram | undefined;
}

export class Collection {
  readonly follower: GroupFollower;
  readonly trace: Trace;
  readonly table = new CellTable();
  readonly phases = new PhaseTracker();
  readonly chains = new Chains();
  readonly interrupts = new Interrupts();
  readonly mappings = new Map<string, MappingCost>();
  readonly resets: ResetTime[] = [];
  readonly openings = new Map<number, Opening>();
  events = 0;
  /** ns since the start of the recording: when the first event was entered, when the last one was done. */
  firstTime = 0;
  lastTime = 0;
  /** The smallest time between two patched accesses of one thread, ns: what recording one takes, at the most. */
  smallestGap = Number.POSITIVE_INFINITY;
  readonly #payloads = new PayloadCursor();
  #groups: (GroupState | undefined)[] = [];
  #epoch = -1;
  /** Of a stream it may become better known at the end. */
  #ticksPerSecond: number;

  constructor(trace: Trace) {
    this.trace = trace;
    this.follower = new GroupFollower(trace);
    this.#ticksPerSecond = trace.ticksPerSecond;
  }

  run(): this {
    for (const { batch, groups } of this.follower.batches()) {
      this.#groups = new Array<GroupState | undefined>(groups.count);
      this.#epoch = this.follower.epoch;
      this.#ticksPerSecond = this.trace.ticksPerSecond;
      if (this.events === 0) {
        this.firstTime = this.#time(batch, batch.begin) - this.#duration(batch, batch.begin);
        this.phases.enter('open', this.firstTime);
      }
      this.#count(batch, groups.of);
      this.events += batch.end - batch.begin;
      this.lastTime = Math.max(this.lastTime, this.#time(batch, batch.end - 1));
      this.#gaps(batch, groups.of);
    }
    this.phases.until(this.lastTime);
    return this;
  }

  #count(batch: EventBatch, of: Uint16Array): void {
    const { durationWords, begin, end } = batch;
    const { table } = this;
    const ticksPerSecond = this.#ticksPerSecond;
    let held = this.#groups;
    let { counts } = table;
    for (let row = begin; row < end; row++) {
      const group = of[row] as number;
      let state = held[group];
      if (state === undefined) {
        state = this.#resolve(batch, group);
        held[group] = state;
        ({ counts } = table);
      }
      if ((state.act & Act.PHASE) !== 0 && this.#phase(state, batch, row)) {
        // Series are of a phase: all groups are resolved anew, this one first.
        held.fill(undefined);
        state = this.#resolve(batch, group);
        held[group] = state;
        ({ counts } = table);
      }
      const { cell } = state;
      counts[cell] = (counts[cell] as number) + 1;
      const low = durationWords[2 * row] as number;
      const high = durationWords[2 * row + 1] as number;
      if (low !== 0 || high !== 0) {
        if (state.latency === undefined) state.latency = table.latency(cell);
        state.latency.add(Math.round(((low + high * WORD) * 1e9) / ticksPerSecond));
      }
      if ((state.act & ~Act.PHASE) !== 0) {
        this.#act(state, batch, group, row);
        if (this.#epoch !== this.follower.epoch) {
          this.#epoch = this.follower.epoch;
          held = new Array<GroupState | undefined>(held.length);
          this.#groups = held;
        }
      }
    }
  }

  #resolve(batch: EventBatch, group: number): GroupState {
    const { follower, chains } = this;
    const name = follower.name(group);
    const row = (batch.groups?.rows[group] ?? 0) as number;
    const failed = batch.errno[row] !== 0;
    const hint = phaseHint(follower.session, name);
    let act = 0;
    if (follower.applies(group)) act |= Act.APPLY;
    if (hint !== undefined && hint !== this.phases.phase) act |= Act.PHASE;
    let chain: QueueChain | undefined;
    let vector: VectorCounts | undefined;
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
      if (name.operation in MAPPING_LENGTHS) act |= Act.MAPPING;
      if (RESETS.has(name.operation)) act |= Act.RESET;
    }
    if (isDevice(follower.session.names.kind(name.object)) && !this.openings.has(name.object))
      act |= Act.OPEN;
    const thread = batch.thread[row] as number;
    const site = batch.site[row] as number;
    const cell = this.table.find(name, this.phases.phase, thread, site, failed);
    return { cell, act, name, hint, chain, vector, latency: undefined };
  }

  /** What only some rows do. */
  #act(state: GroupState, batch: EventBatch, group: number, row: number): void {
    let act = state.act & ~Act.PHASE;
    if (act === Act.TOUCH) {
      if (this.chains.awaiting > 0)
        this.chains.touch(state.name.object, threadOf(batch, group), this.#time(batch, row));
      return;
    }
    if ((act & Act.APPLY) !== 0) {
      if (!this.follower.apply(group, row)) state.act &= ~Act.APPLY;
      if (TO_KERNEL.has(state.name.operation)) this.#toKernel();
    }
    const { chain, vector } = state;
    if ((act & (Act.SUBMIT | Act.COMPLETE | Act.TOUCH)) !== 0) {
      const time = this.#time(batch, row);
      if ((act & Act.TOUCH) !== 0 && this.chains.awaiting > 0)
        this.chains.touch(state.name.object, threadOf(batch, group), time);
      if (chain !== undefined) {
        if ((act & Act.SUBMIT) !== 0) this.chains.submit(chain, time);
        else this.chains.complete(chain, threadOf(batch, group), time);
      }
      act &= ~(Act.SUBMIT | Act.COMPLETE | Act.TOUCH);
      if (act === 0) return;
    }
    if (vector !== undefined) {
      const time = this.#time(batch, row);
      const { device } = vector.route;
      if ((act & Act.WAKE) !== 0) {
        countWake(vector);
        this.chains.wake(threadOf(batch, group), device, time);
      } else if ((act & Act.EVENTFD_READ) !== 0) {
        const signals =
          (batch.valueWords[2 * row] as number) + (batch.valueWords[2 * row + 1] as number) * 2 ** 32;
        countRead(vector, signals, time);
        this.chains.read(threadOf(batch, group), device, time);
      }
    }
    if ((act & Act.MAPPING) !== 0) this.#mapping(state.name, batch, group, row);
    if ((act & Act.RESET) !== 0 && this.resets.length < RESETS_MAX) {
      const duration = this.#duration(batch, row);
      const ok = batch.errno[(batch.groups?.rows[group] ?? 0) as number] === 0;
      const at = this.#time(batch, row) - duration;
      this.resets.push({ object: state.name.object, operation: state.name.operation, at, duration, ok });
    }
    if ((act & Act.OPEN) !== 0) {
      state.act &= ~Act.OPEN;
      this.#opened(state.name.object, this.#time(batch, row) - this.#duration(batch, row));
    }
  }

  /** A device is open from the call that made its descriptor on, which has another object: the first event of its own is near enough. */
  #opened(device: number, time: number): void {
    if (!this.openings.has(device))
      this.openings.set(device, { device, opened: time, ready: undefined, register: '' });
  }

  /** True: another phase begins with this row. */
  #phase(state: GroupState, batch: EventBatch, row: number): boolean {
    const hint = state.hint === 'stop?' ? this.#stops(state.name, batch, row) : state.hint;
    if (hint === undefined) return false;
    const time = this.#time(batch, row) - this.#duration(batch, row);
    if (hint === 'steady') {
      const opening = this.openings.get(state.name.object);
      if (opening !== undefined && opening.ready === undefined) {
        opening.ready = time;
        opening.register = state.name.register;
      }
    }
    if (this.phases.enter(hint, time)) return true;
    // It will be asked again when something else has changed the phase.
    if (state.hint !== 'stop?') state.act &= ~Act.PHASE;
    return false;
  }

  /** Registers and calls that set up or take down, as their value says. */
  #stops(name: EventName, batch: EventBatch, row: number): 'queues' | 'teardown' | undefined {
    const value = isAccess(name.kind)
      ? batch.valueWords[2 * row]
      : this.#payloads.word(batch, row, IRQ_SET.fields.count.offset);
    return stopHint(name, value, this.phases.phase);
  }

  /** Interrupts that KVM takes wake nobody: they are listed all the same. */
  #toKernel(): void {
    for (const route of this.follower.session.interrupts.kernelRoutes()) {
      const vector = this.interrupts.of(route);
      if (vector !== undefined) vector.inKernel = true;
    }
  }

  #mapping(name: EventName, batch: EventBatch, group: number, row: number): void {
    const length = MAPPING_LENGTHS[name.operation] as (typeof MAPPING_LENGTHS)[string];
    const key = `${name.object} ${name.operation}`;
    let cost = this.mappings.get(key);
    if (cost === undefined) {
      cost = { object: name.object, operation: name.operation, calls: 0, failed: 0, bytes: 0, total: 0 };
      this.mappings.set(key, cost);
    }
    cost.calls++;
    if (batch.errno[(batch.groups?.rows[group] ?? 0) as number] !== 0) {
      cost.failed++;
      return;
    }
    cost.bytes += this.#payloads.number(batch, row, length.at, length.role) ?? 0;
    cost.total += Math.round(this.#duration(batch, row));
  }

  #gaps(batch: EventBatch, of: Uint16Array): void {
    const last = new Map<number, number>();
    const end = Math.min(batch.end, batch.begin + GAP_EVENTS);
    for (let row = batch.begin; row < end; row++) {
      const state = this.#groups[of[row] as number];
      if (state === undefined) continue;
      const thread = threadOf(batch, of[row] as number);
      const time = this.#time(batch, row);
      const patched = isAccess(state.name.kind) && state.name.tier === 1;
      const before = last.get(thread);
      if (patched && before !== undefined) this.smallestGap = Math.min(this.smallestGap, time - before);
      if (patched) last.set(thread, time);
      else last.delete(thread);
    }
  }

  /** ns since the start of the recording, when the event was done. */
  #time(batch: EventBatch, row: number): number {
    const { timeWords } = batch;
    return (
      (((timeWords[2 * row] as number) + (timeWords[2 * row + 1] as number) * WORD) * 1e9) /
      this.#ticksPerSecond
    );
  }

  #duration(batch: EventBatch, row: number): number {
    const { durationWords } = batch;
    return (
      (((durationWords[2 * row] as number) + (durationWords[2 * row + 1] as number) * WORD) * 1e9) /
      this.#ticksPerSecond
    );
  }
}

function threadOf(batch: EventBatch, group: number): number {
  return batch.thread[(batch.groups?.rows[group] ?? 0) as number] as number;
}
