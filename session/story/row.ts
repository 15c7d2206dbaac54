// SPDX-License-Identifier: Apache-2.0
import type { EventBatch } from '../../traces/columns.js';
import { wordsNumber } from '../../traces/event-of-row.js';
import type { Trace } from '../../traces/reader.js';
import type { Moment } from './moment.js';

/** The event that is being looked at, without an object of its own; good until its handler returns. */
export interface Row extends Moment {
  readonly kind: number;
  readonly flags: number;
  readonly thread: number;
  readonly errno: number;
  readonly site: number;
  /** The lower and upper half of the value: no bigint is made. */
  readonly low: number;
  readonly high: number;
  readonly value: bigint;
  readonly result: bigint;
  /** Completion, ticks since the recording's base: cheaper than `time`, exact up to 2^53. */
  readonly ticks: number;
}

export class RowCursor implements Row {
  readonly #trace: Trace;
  batch: EventBatch;
  row = 0;

  constructor(trace: Trace, batch: EventBatch) {
    this.#trace = trace;
    this.batch = batch;
  }

  get event(): number {
    return this.batch.firstEvent + this.row;
  }
  get time(): number {
    return this.#trace.ticksToNs(this.ticks - wordsNumber(this.batch.durationWords, this.row));
  }
  get kind(): number {
    return this.batch.kind[this.row] as number;
  }
  get flags(): number {
    return this.batch.flags[this.row] as number;
  }
  get thread(): number {
    return this.batch.thread[this.row] as number;
  }
  get errno(): number {
    return this.batch.errno[this.row] as number;
  }
  get site(): number {
    return this.batch.site[this.row] as number;
  }
  get low(): number {
    return this.batch.valueWords[2 * this.row] as number;
  }
  get high(): number {
    return this.batch.valueWords[2 * this.row + 1] as number;
  }
  get value(): bigint {
    return this.batch.value[this.row] as bigint;
  }
  get result(): bigint {
    return this.batch.result[this.row] as bigint;
  }
  get ticks(): number {
    return wordsNumber(this.batch.timeWords, this.row);
  }
}
