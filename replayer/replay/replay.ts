// SPDX-License-Identifier: Apache-2.0
/**
 * Reissues a recorded session: the trace plays the driver. Descriptors, addresses, ids and eventfds take the values
 * that they have here; everything that comes back is compared with what was recorded.
 */
import * as kinds from '../../abi/object-kinds.js';
import type { Filter } from '../../session/filter/compile.js';
import type { MappedRegion } from '../../session/mappings.js';
import { Session } from '../../session/state.js';
import type { EventBatch } from '../../traces/columns.js';
import { eventOfRow, wordsNumber } from '../../traces/event-of-row.js';
import { type Event, EventFlag, EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { Accesses } from './accesses.js';
import { Account } from './account.js';
import { Comparison } from './comparison.js';
import type { ReplayContext } from './context.js';
import { Counterparts } from './counterparts.js';
import { Descriptors } from './descriptors.js';
import type { ReplayReport } from './divergence.js';
import type { Guard } from './guard.js';
import { Interrupts } from './interrupts.js';
import { Ioctls } from './ioctls.js';
import { Masks } from './masks.js';
import { MemoryContents } from './memory-contents.js';
import { Narrator } from './narrator.js';
import { NetlinkSockets } from './netlink.js';
import { type Pace, paceOf } from './pace.js';
import { Patience } from './patience.js';
import { Regions } from './regions.js';
import type { Target } from './target.js';

export interface ReplayOptions {
  readonly masks: Masks;
  readonly pace: 'recorded' | 'fast' | Pace;
  /** Compared from this event on; what comes before is reissued all the same. */
  readonly from: number;
  /** Reissued up to this event, and not further. */
  readonly to: number;
  /** The last event is the first that it fits, or at which something diverges. */
  readonly until: Filter | 'divergence' | undefined;
  /** How long a register or an interrupt is waited for, ns. */
  readonly patienceNs: number;
  readonly guard: Guard | undefined;
  /** Each event is put into words. */
  readonly narrate: boolean;
}

/** A whole session at once, all of it compared, where nothing else is said. */
export function replayOptions(options: Partial<ReplayOptions> = {}): ReplayOptions {
  return {
    masks: new Masks(),
    pace: 'fast',
    from: 0,
    to: Number.MAX_SAFE_INTEGER,
    until: undefined,
    patienceNs: 0,
    guard: undefined,
    narrate: false,
    ...options,
  };
}

/** So far ahead the caller may sleep: it can be told to stop meanwhile. */
const LONG_NS = 20_000_000;

export interface Progress {
  readonly event: number;
  /** What comes next is not due before so many ns have passed; 0: an operation was made. */
  readonly idleNs: number;
}

export class Replay {
  readonly account: Account;
  readonly counterparts: Counterparts;
  readonly session: Session;
  readonly narrator: Narrator | undefined;
  readonly #context: ReplayContext;
  readonly #until: ReplayOptions['until'];
  readonly #to: number;
  readonly #accesses: Accesses;
  readonly #descriptors: Descriptors;
  readonly #interrupts: Interrupts;
  readonly #netlink: NetlinkSockets;
  readonly #ioctls: Ioctls;
  readonly #regions: Regions;
  readonly #contents: MemoryContents | undefined;
  #unmapped: MappedRegion[] = [];
  #stopped: string | undefined;

  constructor(trace: Trace, target: Target, options: ReplayOptions) {
    this.session = new Session(trace.definitions, (change) => {
      if (change.type === 'unmapped') this.#unmapped.push(...change.mappings);
    });
    const { session } = this;
    this.account = new Account(session.names, options.from);
    this.counterparts = new Counterparts(session, target);
    this.#until = options.until;
    this.#to = options.to;
    this.narrator = options.narrate || typeof options.until === 'object' ? new Narrator(trace) : undefined;
    this.#context = {
      trace,
      target,
      session,
      account: this.account,
      compare: new Comparison(session, this.account, options.masks),
      counterparts: this.counterparts,
      pace: typeof options.pace === 'string' ? paceOf(options.pace) : options.pace,
      patience: new Patience(options.patienceNs),
      guard: options.guard,
    };
    this.#accesses = new Accesses(this.#context);
    this.#descriptors = new Descriptors(this.#context);
    this.#interrupts = new Interrupts(this.#context);
    this.#netlink = new NetlinkSockets(this.#context);
    this.#ioctls = new Ioctls(this.#context, this.#descriptors);
    this.#regions = new Regions(this.#context);
    this.#contents =
      trace.header.modes.dma === 'content' ? new MemoryContents(trace, this.counterparts) : undefined;
  }

  /** No further than this event. */
  stop(why: string): void {
    this.#stopped ??= why;
  }

  /** Ends at the last event, or where the options say; `report` tells the rest. Closing the target is the caller's. */
  *run(): Generator<Progress, ReplayReport, undefined> {
    const { account, narrator } = this;
    const { trace, target } = this.#context;
    const started = process.hrtime.bigint();
    const progress = { event: 0, idleNs: 0 };
    events: for (const batch of trace.batches({ to: this.#to })) {
      for (let row = batch.begin; row < batch.end; row++) {
        account.event = batch.firstEvent + row;
        account.events++;
        if (account.notes.length > 0) account.notes = [];
        narrator?.at(batch, row);
        this.#contents?.before(batch.kind[row] as number, account.event);
        for (let left = this.#left(batch, row); left > LONG_NS; left = this.#left(batch, row)) {
          yield { event: account.event, idleNs: left - LONG_NS / 2 };
          if (this.#stopped !== undefined) break events;
        }
        if (this.#reissue(batch, row) || (narrator !== undefined && account.notes.length > 0)) {
          progress.event = account.event;
          yield progress;
        }
        if (this.#stopped === undefined && this.#until !== undefined) this.#stopAt(this.#until);
        if (this.#stopped !== undefined) break events;
      }
    }
    this.#accesses.endRun();
    if (this.#stopped === undefined) this.#interrupts.leftOver();
    return {
      target: target.label,
      events: account.events,
      operations: account.operations,
      compared: account.compared,
      masked: account.masked,
      divergences: account.divergences,
      counts: account.counts,
      omissions: account.omissions,
      stopped: this.#stopped,
      durationNs: Number(process.hrtime.bigint() - started),
    };
  }

  #left(batch: EventBatch, row: number): number {
    const { pace, trace } = this.#context;
    if (!pace.recorded) return 0;
    const ticks = wordsNumber(batch.timeWords, row) - wordsNumber(batch.durationWords, row);
    return pace.left(trace.ticksToNs(ticks));
  }

  #stopAt(until: Filter | 'divergence'): void {
    const { account } = this;
    if (until === 'divergence') {
      const [first] = account.divergences;
      if (first !== undefined) this.#stopped = `at the first divergence, event ${first.event}`;
    } else if (this.narrator?.matches(until) === true) {
      this.#stopped = `where --until says, event ${account.event}`;
    }
  }

  /** Whether something was done. */
  #reissue(batch: EventBatch, row: number): boolean {
    switch (batch.kind[row]) {
      case EventKind.LOAD:
      case EventKind.STORE:
      case EventKind.UPDATE:
        return this.#accesses.access(batch, row);
      case EventKind.CLOCK:
      case EventKind.THREAD:
      case EventKind.PROCESS:
      case EventKind.WAKE:
      case EventKind.SITE:
      case EventKind.LSEEK:
      case EventKind.MPROTECT:
      case EventKind.MADVISE:
      case EventKind.FORK:
      case EventKind.EXEC:
      case EventKind.EXIT:
      case EventKind.SIGNAL:
      case EventKind.DMA:
      case EventKind.INTERRUPT:
        return false;
      default:
        this.#accesses.endRun();
        return this.#call(eventOfRow(this.#context.trace, batch, row));
    }
  }

  #transferOf(kind: number): { transfer(event: Event): boolean } {
    if (kind === kinds.EVENTFD) return this.#interrupts;
    return kind === kinds.LYON_NETLINK ? this.#netlink : this.#regions;
  }

  #call(event: Event): boolean {
    const { session, account } = this;
    if ((event.flags & EventFlag.INTENT) !== 0) {
      account.omit('a call that never returned');
      session.apply(event);
      return false;
    }
    switch (event.kind) {
      case EventKind.OPEN:
        return this.#descriptors.open(event);
      case EventKind.IOCTL:
        return this.#ioctls.ioctl(event);
      case EventKind.READ:
      case EventKind.WRITE: {
        const done = this.#transferOf(session.names.kind(event.object)).transfer(event);
        session.apply(event);
        return done;
      }
      case EventKind.MMAP:
        session.apply(event);
        return this.#regions.map(event);
      case EventKind.MUNMAP: {
        this.#unmapped = [];
        session.apply(event);
        return this.#regions.unmap(event, this.#unmapped);
      }
      case EventKind.CLOSE:
        return this.#descriptors.close(event);
      case EventKind.LOST:
        account.omit('events that the recorder lost');
        return false;
      case EventKind.UNSEEN:
        account.omit('a descriptor that the recorder did not see opened');
        session.apply(event);
        return false;
      default:
        session.apply(event);
        return false;
    }
  }
}

/** A whole replay in one go, for who needs not be able to stop it. */
export function replayAll(replay: Replay): ReplayReport {
  const running = replay.run();
  for (;;) {
    const step = running.next();
    if (step.done === true) return step.value;
  }
}
