// SPDX-License-Identifier: Apache-2.0
/** What is kept of a group, so that of each of its rows nothing has to be found out that is the same for all. */
import { type EventName, isAccess } from '../../session/groups/event-name.js';
import type { GroupFollower } from '../../session/groups/follow.js';
import type { InterruptRoute } from '../../session/interrupts.js';
import { RESETS } from '../../session/phases/marks.js';
import type { EventBatch } from '../../traces/columns.js';
import { EventKind } from '../../traces/model.js';
import type { CellTable } from './cells.js';
import type { ChainedDevice, Chains, QueueChain, WokenThread } from './chains.js';
import type { Histogram } from './histogram.js';
import type { Interrupts, VectorCounts } from './interrupts.js';
import type { MappingCost, MappingCosts } from './mapping-costs.js';
import { queueRegister } from './queues.js';

/** What is done for the rows of a group beside counting them: one of the first, and others. */
export const Act = {
  SUBMIT: 1,
  COMPLETE: 2,
  WAKE: 3,
  EVENTFD_READ: 4,
  MAPPING: 5,
  RESET: 6,
  ONE: 0x07,
  /** It accesses a device that interrupts, and has no other answer to them. */
  TOUCH: 0x08,
  /** The state wants to see it. */
  APPLY: 0x10,
} as const;

export interface GroupState {
  /** Those of an earlier stamp than the present one are good no more. */
  readonly stamp: number;
  readonly cell: number;
  act: number;
  readonly name: EventName;
  readonly failed: boolean;
  /** That it speaks to, or is interrupted by. */
  device: ChainedDevice;
  readonly thread: WokenThread;
  /** Of the queue whose doorbell it rings. */
  chain: QueueChain | undefined;
  /** It says that there is work, not that some is done. */
  submits: boolean;
  vector: VectorCounts | undefined;
  mapping: MappingCost | undefined;
  latency: Histogram | undefined;
}

/** Which phase an event belongs to, or what stands for it; asked in the order of events. */
export interface Cursor<P extends string> {
  /** From this event on another one may be told. */
  readonly next: number;
  advance(event: number): void;
  of(device: number): P;
}

/** Makes them, in the order of events. */
export class GroupStates<P extends string> {
  constructor(
    private readonly follower: GroupFollower,
    private readonly cursor: Cursor<P>,
    private readonly table: CellTable<P>,
    private readonly chains: Chains,
    private readonly interrupts: Interrupts,
    private readonly mappings: MappingCosts,
  ) {}

  resolve(batch: EventBatch, group: number, stamp: number): GroupState {
    const { follower, chains } = this;
    const name = follower.name(group);
    const row = (batch.groups?.rows[group] ?? 0) as number;
    const failed = batch.errno[row] !== 0;
    const thread = batch.thread[row] as number;
    const site = batch.site[row] as number;
    const phase = this.cursor.of(name.route?.device ?? name.object);
    const state: GroupState = {
      stamp,
      cell: this.table.find(name, phase, thread, site, failed),
      act: follower.applies(group) ? Act.APPLY : 0,
      name,
      failed,
      device: chains.device(name.object),
      thread: chains.thread(thread),
      chain: undefined,
      submits: false,
      vector: undefined,
      mapping: undefined,
      latency: undefined,
    };
    if (isAccess(name.kind)) this.#resolveAccess(state);
    else if (name.route !== undefined && !failed && name.route.role === 'trigger')
      this.#resolveInterrupt(state, name.route);
    else if (name.kind === EventKind.IOCTL) {
      state.mapping = this.mappings.of(name);
      if (state.mapping !== undefined) state.act |= Act.MAPPING;
      else if (RESETS.has(name.operation)) state.act |= Act.RESET;
    }
    return state;
  }

  #resolveAccess(state: GroupState): void {
    const { name, device } = state;
    const queue = name.kind === EventKind.LOAD ? undefined : queueRegister(name.register);
    if (queue !== undefined) {
      state.chain = this.chains.queue(name.object, queue);
      state.submits = queue.role === 'submit';
    }
    if (device.plain && device.interrupts) state.act |= Act.TOUCH;
    const { chain } = state;
    if (chain === undefined) return;
    if (!state.submits) {
      // A ring that gives buffers back answers nothing.
      if (!device.plain) state.act |= Act.COMPLETE;
    } else if (chain.oldest < 0 || !isUnanswered(device)) state.act |= Act.SUBMIT;
  }

  #resolveInterrupt(state: GroupState, route: InterruptRoute): void {
    const { kind, operation } = state.name;
    state.vector = this.interrupts.of(route);
    state.device = this.chains.interrupted(route.device);
    if (state.vector === undefined) return;
    if (kind === EventKind.WAKE) state.act |= Act.WAKE;
    else if (operation !== 'eventfd write') state.act |= Act.EVENTFD_READ;
  }
}

/** Nothing tells when its doorbells are answered: of each queue the first one is the oldest for ever, or until it interrupts. */
export function isUnanswered({ plain, interrupts }: ChainedDevice): boolean {
  return plain && !interrupts;
}
