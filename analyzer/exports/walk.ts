// SPDX-License-Identifier: Apache-2.0
/** What every format is made from: each event with what its group is called, in order. */

import { errnoName } from '../../abi/linux/errno.js';
import { tierName } from '../../abi/mmio-sites.js';
import { escapeText } from '../../abi/text.js';
import { regionName } from '../../abi/vfio/regions.js';
import { kindName } from '../../session/describe/kinds.js';
import { SiteNames } from '../../session/describe/site.js';
import { dmaArgument } from '../../session/groups/dma-arguments.js';
import { type EventName, isAccess } from '../../session/groups/event-name.js';
import { GroupFollower, PayloadCursor } from '../../session/groups/follow.js';
import { routeName } from '../../session/interrupts.js';
import type { Session } from '../../session/state.js';
import type { CallSites } from '../../session/symbols/call-sites.js';
import type { EventBatch } from '../../traces/columns.js';
import { PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';

/** What the events of a group have in common, in words; empty where there is nothing to say. */
export interface GroupText {
  readonly name: EventName;
  readonly kind: string;
  readonly operation: string;
  /** Thread.id. */
  readonly threadId: number;
  readonly pid: number;
  readonly tid: number;
  readonly thread: string;
  readonly object: string;
  readonly device: string;
  readonly fd: number;
  readonly region: string;
  readonly offset: bigint;
  readonly register: string;
  readonly width: number;
  readonly result: bigint;
  readonly errno: string;
  readonly site: string;
  /** `device0 MSIX[2]` */
  readonly interrupt: string;
  /** How a load or store was caught. */
  readonly caught: string;
}

export interface DmaRange {
  iova: bigint;
  size: bigint;
}

export class Walk {
  readonly trace: Trace;
  readonly session: Session;
  readonly #follower: GroupFollower;
  readonly #sites: SiteNames;
  readonly #payloads = new PayloadCursor();
  /** ns; of the row that `row` is called with, rounded as everything that leaves the trace is. */
  time = 0;
  duration = 0;

  constructor(trace: Trace, callSites?: CallSites) {
    this.trace = trace;
    this.#follower = new GroupFollower(trace);
    this.session = this.#follower.session;
    this.#sites = new SiteNames(trace.definitions, callSites);
  }

  /**
   * `make` is asked once for each group, and again when names have changed; `row` is called for each event with what it made. The
   * columns of a batch that its group has in common are in `GroupText`; time and duration are in this object. After each batch
   * it yields how many events are done.
   */
  *run<T>(
    make: (text: GroupText) => T,
    row: (made: T, batch: EventBatch, row: number) => void,
  ): Generator<number, void, undefined> {
    const follower = this.#follower;
    let events = 0;
    let epoch = follower.epoch;
    /** By the number of a group. */
    let made: (T | undefined)[] = [];
    let applies: (boolean | undefined)[] = [];
    for (const { batch, groups } of follower.batches(['time', 'duration', 'value'])) {
      const { ticksPerSecond } = this.trace;
      const { of, numbers } = groups;
      const { timeWords, durationWords } = batch;
      for (let at = batch.begin; at < batch.end; at++) {
        if (epoch !== follower.epoch) {
          epoch = follower.epoch;
          made = [];
          applies = [];
        }
        const group = of[at] as number;
        const number = numbers[group] as number;
        let own = made[number];
        if (own === undefined) {
          own = make(this.#text(batch, groups.rows[group] as number, follower.name(group)));
          made[number] = own;
          applies[number] = follower.applies(group);
        }
        const done = (timeWords[2 * at] as number) + (timeWords[2 * at + 1] as number) * WORD;
        const took = (durationWords[2 * at] as number) + (durationWords[2 * at + 1] as number) * WORD;
        this.time = Math.round(((done - took) * 1e9) / ticksPerSecond);
        this.duration = Math.round((took * 1e9) / ticksPerSecond);
        row(own, batch, at);
        if (applies[number] === true && !follower.apply(group, at)) applies[number] = false;
      }
      events += batch.end - batch.begin;
      yield events;
    }
  }

  /** Of a row whose group's operation maps or unmaps; false: its argument was not recorded. Rows in order. */
  dma(operation: string, batch: EventBatch, row: number, into: DmaRange): boolean {
    const argument = dmaArgument(operation);
    if (argument === undefined) return false;
    const word = (at: number): bigint | undefined => {
      for (const role of [argument.role, PayloadRole.IN]) {
        const low = this.#payloads.word(batch, row, at, role);
        const high = this.#payloads.word(batch, row, at + 4, role);
        if (low !== undefined && high !== undefined) return (BigInt(high) << 32n) | BigInt(low);
      }
      return undefined;
    };
    const iova = word(argument.iova);
    const size = word(argument.size);
    if (iova === undefined || size === undefined) return false;
    into.iova = iova;
    into.size = size;
    return true;
  }

  #text(batch: EventBatch, row: number, name: EventName): GroupText {
    const { definitions } = this.trace;
    const { names } = this.session;
    const thread = definitions.threads.get(batch.thread[row] as number);
    const process = thread === undefined ? undefined : definitions.processes.get(thread.process);
    const device = names.device(name.object);
    const { route } = name;
    const errno = batch.errno[row] as number;
    return {
      name,
      kind: kindName(name.kind),
      operation: name.operation,
      threadId: batch.thread[row] as number,
      pid: process?.pid ?? 0,
      tid: thread?.tid ?? 0,
      thread: escapeText(thread?.name ?? ''),
      object: name.object === 0 ? '' : names.name(name.object),
      device: escapeText(device?.bdf ?? ''),
      fd: batch.fd[row] as number,
      region: name.region < 0 ? '' : regionName(name.region),
      offset: name.offset,
      register: name.register,
      width: name.width,
      result: batch.result[row] as bigint,
      errno: errno === 0 ? '' : errnoName(errno),
      site: this.#sites.name(batch.site[row] as number, name.kind) ?? '',
      interrupt: route === undefined ? '' : `${names.name(route.device)} ${routeName(route)}`,
      caught: isAccess(name.kind) ? tierName(name.tier) : '',
    };
  }
}

const WORD = 0x1_0000_0000;
