// SPDX-License-Identifier: Apache-2.0
import type { EventBatch } from '../../traces/columns.js';
import type { Event } from '../../traces/model.js';
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

const WORD = 0x1_0000_0000;

/** Exact up to 2^53, which is 34 days of ticks at 3 GHz; rounded above. */
export function wordsNumber(words: Uint32Array, row: number): number {
  return (words[2 * row] as number) + (words[2 * row + 1] as number) * WORD;
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

/** The row as an event that outlives its batch. */
export function eventOfRow(trace: Trace, batch: EventBatch, row: number): Event {
  const duration = wordsNumber(batch.durationWords, row);
  return {
    number: batch.firstEvent + row,
    kind: batch.kind[row] as number,
    flags: batch.flags[row] as number,
    thread: batch.thread[row] as number,
    object: batch.object[row] as number,
    fd: batch.fd[row] as number,
    op: batch.op[row] as number,
    time: trace.ticksToNs(wordsNumber(batch.timeWords, row) - duration),
    duration: trace.ticksToNs(duration),
    offset: batch.offset[row] as bigint,
    value: batch.value[row] as bigint,
    result: batch.result[row] as bigint,
    errno: batch.errno[row] as number,
    site: batch.site[row] as number,
    payloads: batch.payloads.of(row),
  };
}
