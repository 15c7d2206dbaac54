// SPDX-License-Identifier: Apache-2.0
import { hex } from '../../abi/text.js';
import type { EventBatch } from '../../traces/columns.js';
import { eventOfRow, wordsNumber } from '../../traces/event-of-row.js';
import { type Event, EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { FilterSubject } from '../filter/subject.js';
import type { Session } from '../state.js';
import type { Description } from './description.js';
import { applyAndDescribe } from './event.js';
import { kindName } from './kinds.js';
import type { SiteNames } from './site.js';

/**
 * The row of a batch that is being looked at. The columns are asked first; the event, its payloads and its
 * description are made when something needs them.
 */
export class Subject implements FilterSubject {
  readonly #trace: Trace;
  readonly #session: Session;
  readonly #sites: SiteNames;
  #batch: EventBatch | undefined;
  #row = 0;
  #event: Event | undefined;
  #description: Description | undefined;
  #applied = false;

  constructor(trace: Trace, session: Session, sites: SiteNames) {
    this.#trace = trace;
    this.#session = session;
    this.#sites = sites;
  }

  /** Every row must be applied, with apply or by asking its description, before the next. */
  at(batch: EventBatch, row: number): void {
    this.#batch = batch;
    this.#row = row;
    this.#event = undefined;
    this.#description = undefined;
    this.#applied = false;
  }

  apply(): void {
    if (this.#applied) return;
    const kind = this.kind;
    if (kind === EventKind.LOAD && !this.#tellsLayout()) return;
    // Reads of eventfds and files tell nothing that is kept.
    if (kind === EventKind.READ && this.#session.device(this.object) === undefined) return;
    // What an unmapping took away is known only before it is applied.
    if (kind === EventKind.MUNMAP || kind === EventKind.MREMAP) void this.description;
    else {
      this.#session.apply(this.event);
      this.#applied = true;
    }
  }

  #tellsLayout(): boolean {
    const { offsetWords, op } = this.#columns;
    if (offsetWords[2 * this.#row + 1] !== 0) return false;
    const registers = this.#session.device(this.object)?.registers;
    return (
      registers?.isLayout((op[this.#row] as number) & 0xff, offsetWords[2 * this.#row] as number) ?? false
    );
  }

  get event(): Event {
    if (this.#event === undefined) this.#event = eventOfRow(this.#trace, this.#columns, this.#row);
    return this.#event;
  }

  get description(): Description {
    if (this.#description === undefined) {
      this.#description = applyAndDescribe(this.#session, this.event, this.#applied);
      this.#applied = true;
    }
    return this.#description;
  }

  get #columns(): EventBatch {
    if (this.#batch === undefined) throw new Error('no row was chosen');
    return this.#batch;
  }

  get number(): number {
    return this.#columns.firstEvent + this.#row;
  }
  get kind(): number {
    return this.#columns.kind[this.#row] as number;
  }
  get time(): number {
    const { timeWords, durationWords } = this.#columns;
    return this.#trace.ticksToNs(wordsNumber(timeWords, this.#row) - wordsNumber(durationWords, this.#row));
  }
  get duration(): number {
    return this.#trace.ticksToNs(wordsNumber(this.#columns.durationWords, this.#row));
  }
  get fd(): number {
    return this.#columns.fd[this.#row] as number;
  }
  get errno(): number {
    return this.#columns.errno[this.#row] as number;
  }
  get thread(): number {
    return this.#columns.thread[this.#row] as number;
  }
  get object(): number {
    return this.#columns.object[this.#row] as number;
  }
  get value(): bigint {
    return this.#columns.value[this.#row] as bigint;
  }
  get result(): bigint {
    return this.#columns.result[this.#row] as bigint;
  }
  get offset(): bigint {
    const offset = this.#columns.offset[this.#row] as bigint;
    const { kind } = this;
    if (kind !== EventKind.READ && kind !== EventKind.WRITE && kind !== EventKind.MMAP) return offset;
    return this.#session.device(this.object)?.locate(offset)?.offset ?? offset;
  }
  get op(): string {
    if (this.kind !== EventKind.IOCTL) {
      return this.#description?.op ?? kindName(this.kind);
    }
    const request = this.#columns.op[this.#row] as number;
    return this.#session.ioctl(this.object, request)?.name ?? `ioctl ${hex(request)}`;
  }
  get objectName(): string {
    return this.#session.names.name(this.object);
  }
  get objectLabel(): string {
    return this.#session.names.label(this.object);
  }
  get tid(): number {
    return this.#trace.definitions.threads.get(this.thread)?.tid ?? 0;
  }
  get threadName(): string {
    return this.#trace.definitions.threads.get(this.thread)?.name ?? '';
  }
  get pid(): number {
    const { threads, processes } = this.#trace.definitions;
    return processes.get(threads.get(this.thread)?.process ?? 0)?.pid ?? 0;
  }
  get site(): readonly string[] {
    const id = this.#columns.site[this.#row] as number;
    const [name, plain] = [this.#sites.name(id, this.kind), this.#sites.plain(id)];
    return [name, plain].filter((text, n) => text !== undefined && (n === 0 || text !== name)) as string[];
  }
}
