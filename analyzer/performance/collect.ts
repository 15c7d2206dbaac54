// SPDX-License-Identifier: Apache-2.0
/** Counts and measures all that `stats` and the charts tell, batch by batch, in constant memory. */

import { MMIO_TIER_PATCHED } from '../../abi/mmio-sites.js';
import { isAccess } from '../../session/groups/event-name.js';
import { GroupFollower } from '../../session/groups/follow.js';
import type { ColumnName, EventBatch } from '../../traces/columns.js';
import type { EventGroups } from '../../traces/event-groups.js';
import { wordsNumber } from '../../traces/event-of-row.js';
import type { Trace } from '../../traces/reader.js';
import { CellTable } from './cells.js';
import { Chains, type QueueChain } from './chains.js';
import { Act, type Cursor, type GroupState, GroupStates, isUnanswered } from './group-state.js';
import { countRead, countWake, Interrupts, type VectorCounts } from './interrupts.js';
import { type MappingCost, MappingCosts } from './mapping-costs.js';

/** They give an interrupt to KVM: in this order, or the other. */
const TO_KERNEL: ReadonlySet<string> = new Set(['KVM_IRQFD', 'VFIO_DEVICE_SET_IRQS']);

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
/** Rows that are counted ahead of what may change what they are; after such a change, few at first. */
const BLOCK = 4096;
const FIRST_BLOCK = 64;
/** So many resets are listed; all are counted with the operations. */
const RESETS_MAX = 1000;
/** Gaps between accesses are looked for in the first so many events, and from then on in the first GAP_EVENTS of each so many. */
const GAPS_WITHIN = 65_536;
const GAP_EVENTS = 1024;

export class Collection<P extends string> {
  readonly follower: GroupFollower;
  readonly trace: Trace;
  readonly table = new CellTable<P>();
  readonly chains = new Chains();
  readonly interrupts = new Interrupts();
  readonly mappings = new MappingCosts();
  readonly resets: ResetTime[] = [];
  events = 0;
  /** ns since the start of the recording: when the first event was entered, when the last one was done. */
  firstTime = 0;
  lastTime = 0;
  /** The smallest time between two patched accesses of one thread, ns: what recording one takes, at the most. */
  smallestGap = Number.POSITIVE_INFINITY;
  readonly #cursor: Cursor<P>;
  readonly #resolver: GroupStates<P>;
  readonly #ticksPerSecond: number;
  /** By the number of a group; of another stamp than the present one they are good no more. */
  readonly #known: (GroupState | undefined)[] = [];
  #stamp = 0;
  /** Of the present batch, by group: the same; whether there is more to do than to count; rows not in `counts` yet. */
  readonly #states: (GroupState | undefined)[] = [];
  #busy = new Uint8Array(0);
  #tallies = new Int32Array(0);
  /** The first row that is in `#tallies`. */
  #unsettled = 0;
  readonly #todo = new Int32Array(BLOCK);
  #block = FIRST_BLOCK;
  /** By thread: when its latest access was done, if that was a patched one and it has done nothing since. */
  readonly #patched = new Map<number, number>();
  #epoch = -1;
  #chainsEpoch = 0;

  constructor(trace: Trace, cursor: Cursor<P>) {
    this.trace = trace;
    this.#cursor = cursor;
    this.follower = new GroupFollower(trace);
    this.#resolver = new GroupStates(
      this.follower,
      cursor,
      this.table,
      this.chains,
      this.interrupts,
      this.mappings,
    );
    this.#ticksPerSecond = trace.ticksPerSecond;
  }

  /** The next batch: with groups, COLLECTED and payloads. */
  add(batch: EventBatch): void {
    const groups = this.follower.begin(batch);
    this.#begin(groups);
    if (this.events === 0)
      this.firstTime = this.#time(batch, batch.begin) - this.#duration(batch, batch.begin);
    this.#count(batch, groups);
    this.#gaps(batch, groups);
    this.events += batch.end - batch.begin;
    this.lastTime = Math.max(this.lastTime, this.#time(batch, lastRow(batch)));
  }

  #begin({ count, numbers }: EventGroups): void {
    if (this.#busy.length < count) {
      this.#busy = new Uint8Array(count);
      this.#tallies = new Int32Array(count);
    }
    if (this.#epoch !== this.follower.epoch) this.#stale();
    for (let group = 0; group < count; group++) {
      const state = this.#known[numbers[group] as number];
      this.#states[group] = state;
      this.#busy[group] = state?.stamp === this.#stamp && state.act === 0 ? 0 : 1;
    }
  }

  /** What groups were resolved to depended on what has changed now. */
  #stale(): void {
    this.#epoch = this.follower.epoch;
    this.#chainsEpoch = this.chains.epoch;
    this.#stamp++;
    this.#busy.fill(1);
  }

  #count(batch: EventBatch, groups: EventGroups): void {
    const cursor = this.#cursor;
    const { firstEvent, end } = batch;
    this.#unsettled = batch.begin;
    for (let row = batch.begin; row < end; ) {
      if (firstEvent + row >= cursor.next) {
        // Series are of a phase.
        cursor.advance(firstEvent + row);
        this.#settle(groups, row);
        this.#stale();
      }
      const to = Math.min(end, row + this.#block, cursor.next - firstEvent);
      row = this.#rows(batch, groups, row, to);
      this.#block = row < to ? FIRST_BLOCK : Math.min(BLOCK, 2 * this.#block);
    }
    this.#settle(groups, end);
  }

  /**
   * Most rows are only counted: they are counted ahead, and those of which there is more to say are gone through afterwards.
   * Returns `to`, or the row from which on all is to be resolved anew.
   */
  #rows(batch: EventBatch, groups: EventGroups, from: number, to: number): number {
    const { of, numbers } = groups;
    const states = this.#states;
    const todo = this.#todo;
    const count = this.#ahead(batch, of, from, to);
    for (let n = 0; n < count; n++) {
      const row = todo[n] as number;
      const group = of[row] as number;
      let state = states[group];
      if (state?.stamp !== this.#stamp) {
        state = this.#resolver.resolve(batch, group, this.#stamp);
        if (this.#chainsEpoch !== this.chains.epoch) return this.#cut(groups, row, to);
        states[group] = state;
        this.#known[numbers[group] as number] = state;
      }
      this.#took(state, batch, row);
      if (state.act !== 0) this.#act(state, batch, group, row);
      if (this.#epoch !== this.follower.epoch) return this.#cut(groups, row + 1, to);
    }
    return to;
  }

  /** Counts the rows, and lists those whose group is busy or unknown, or that took time; returns how many these are. */
  #ahead({ durationWords }: EventBatch, of: Uint16Array, from: number, to: number): number {
    const busy = this.#busy;
    const tallies = this.#tallies;
    const todo = this.#todo;
    let count = 0;
    for (let row = from; row < to; row++) {
      const group = of[row] as number;
      tallies[group] = (tallies[group] as number) + 1;
      // Without a branch, which would be mispredicted for every third row or so.
      const took = (durationWords[2 * row] as number) | (durationWords[2 * row + 1] as number);
      todo[count] = row;
      count += (busy[group] as number) | ((took | (0 - took)) >>> 31);
    }
    return count;
  }

  /** Takes back what was counted from this row on. */
  #cut(groups: EventGroups, row: number, to: number): number {
    const { of } = groups;
    for (let ahead = row; ahead < to; ahead++) {
      const group = of[ahead] as number;
      this.#tallies[group] = (this.#tallies[group] as number) - 1;
    }
    this.#settle(groups, row);
    this.#stale();
    return row;
  }

  /** Adds what was counted by group, up to this row, to what it is counted for. */
  #settle({ of, count }: EventGroups, end: number): void {
    const begin = this.#unsettled;
    this.#unsettled = end;
    // There may be as many groups as rows, and a change with each of them.
    if (end - begin < count) for (let row = begin; row < end; row++) this.#settleGroup(of[row] as number);
    else for (let group = 0; group < count; group++) this.#settleGroup(group);
  }

  #settleGroup(group: number): void {
    const tally = this.#tallies[group] as number;
    if (tally === 0) return;
    this.#tallies[group] = 0;
    const { cell, chain, submits } = this.#states[group] as GroupState;
    const { counts } = this.table;
    counts[cell] = (counts[cell] as number) + tally;
    if (chain === undefined) return;
    if (submits) chain.doorbells += tally;
    else chain.completions += tally;
  }

  #took(state: GroupState, batch: EventBatch, row: number): void {
    const low = batch.durationWords[2 * row] as number;
    const high = batch.durationWords[2 * row + 1] as number;
    if ((low | high) === 0) return;
    if (state.latency === undefined) state.latency = this.table.latency(state.cell);
    state.latency.add(Math.round(((low + high * WORD) * 1e9) / this.#ticksPerSecond));
  }

  /** What only some rows do. */
  #act(state: GroupState, batch: EventBatch, group: number, row: number): void {
    const { act, device, thread } = state;
    const { chains } = this;
    if (act === Act.APPLY) {
      this.#apply(state, group, row);
      return;
    }
    const time = this.#time(batch, row);
    if ((act & Act.TOUCH) !== 0 && chains.awaiting > 0) chains.touch(device, thread, time);
    switch (act & Act.ONE) {
      case Act.SUBMIT:
        this.#submitted(state, state.chain as QueueChain, group, time);
        break;
      case Act.COMPLETE:
        chains.complete(state.chain as QueueChain, thread, time);
        break;
      case Act.WAKE:
        countWake(state.vector as VectorCounts);
        chains.wake(thread, device, time);
        break;
      case Act.EVENTFD_READ:
        countRead(state.vector as VectorCounts, wordsNumber(batch.valueWords, row), time);
        chains.read(thread, device, time);
        break;
      case Act.MAPPING:
        this.mappings.add(state.mapping as MappingCost, state.failed, this.#duration(batch, row), batch, row);
        break;
      case Act.RESET:
        this.#reset(state, this.#duration(batch, row), time);
        break;
    }
    if ((act & Act.APPLY) !== 0) this.#apply(state, group, row);
  }

  #submitted(state: GroupState, chain: QueueChain, group: number, time: number): void {
    if (chain.oldest >= 0) return;
    chain.oldest = time;
    if (isUnanswered(state.device)) this.#isDone(state, Act.SUBMIT, group);
  }

  #apply(state: GroupState, group: number, row: number): void {
    if (!this.follower.apply(group, row)) this.#isDone(state, Act.APPLY, group);
    if (TO_KERNEL.has(state.name.operation)) this.#toKernel();
  }

  /** The group's later rows need not do this. */
  #isDone(state: GroupState, act: number, group: number): void {
    state.act &= ~act;
    this.#busy[group] = state.act === 0 ? 0 : 1;
  }

  #reset({ name: { object, operation }, failed }: GroupState, duration: number, time: number): void {
    if (this.resets.length >= RESETS_MAX) return;
    this.resets.push({ object, operation, at: time - duration, duration, ok: !failed });
  }

  /** Interrupts that KVM takes wake nobody: they are listed all the same. */
  #toKernel(): void {
    for (const route of this.follower.session.interrupts.kernelRoutes()) {
      const vector = this.interrupts.of(route);
      if (vector !== undefined) vector.inKernel = true;
    }
  }

  #gaps(batch: EventBatch, { of }: EventGroups): void {
    const last = this.#patched;
    const { begin, end } = batch;
    for (let row = begin; row < end; row++) {
      const event = this.events + row - begin;
      if (event >= GAPS_WITHIN) {
        const place = event % GAPS_WITHIN;
        if (place === 0) last.clear();
        if (place >= GAP_EVENTS) {
          row += GAPS_WITHIN - place - 1;
          continue;
        }
      }
      const group = of[row] as number;
      const { kind, tier } = this.follower.name(group);
      const thread = threadOf(batch, group);
      if (!isAccess(kind) || tier !== MMIO_TIER_PATCHED) {
        last.delete(thread);
        continue;
      }
      const time = this.#time(batch, row);
      const before = last.get(thread);
      if (before !== undefined) this.smallestGap = Math.min(this.smallestGap, time - before);
      last.set(thread, time);
    }
  }

  /**
   * ns since the start of the recording, when the event was done. When it was entered and how long it took are rounded each, as in
   * the tables that are exported: what is computed of these is the same.
   */
  #time(batch: EventBatch, row: number): number {
    const took = wordsNumber(batch.durationWords, row);
    if (took === 0) return Math.round((wordsNumber(batch.timeWords, row) * 1e9) / this.#ticksPerSecond);
    const entered = ((wordsNumber(batch.timeWords, row) - took) * 1e9) / this.#ticksPerSecond;
    return Math.round(entered) + Math.round((took * 1e9) / this.#ticksPerSecond);
  }

  #duration(batch: EventBatch, row: number): number {
    return Math.round((wordsNumber(batch.durationWords, row) * 1e9) / this.#ticksPerSecond);
  }
}

/** The one that was done last: what other threads did is sometimes written late. */
function lastRow({ time, timeWords, lastTicks, begin, end }: EventBatch): number {
  if (time[end - 1] === lastTicks) return end - 1;
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
