// SPDX-License-Identifier: Apache-2.0
/** Puts the events of a replay into words as it goes: for who looks on, and for expressions that say where to stop. */
import { LineWriter } from '../../session/describe/line.js';
import { SiteNames } from '../../session/describe/site.js';
import { Subject } from '../../session/describe/subject.js';
import type { Filter } from '../../session/filter/compile.js';
import { Session } from '../../session/state.js';
import type { EventBatch } from '../../traces/columns.js';
import type { Trace } from '../../traces/reader.js';

export class Narrator {
  readonly #subject: Subject;
  readonly #lines: LineWriter;
  #line: string | undefined;

  constructor(trace: Trace) {
    const session = new Session(trace.definitions);
    const sites = new SiteNames(trace.definitions, undefined);
    this.#subject = new Subject(trace, session, sites);
    this.#lines = new LineWriter(trace.definitions, session.names, sites, false);
  }

  at(batch: EventBatch, row: number): void {
    this.#subject.at(batch, row);
    this.#subject.apply();
    this.#line = undefined;
  }

  /** The event as `dump` has it. */
  get line(): string {
    const { event, description } = this.#subject;
    this.#line ??= this.#lines.line(event, description);
    return this.#line;
  }

  matches(filter: Filter): boolean {
    return filter.matches(this.#subject);
  }
}
