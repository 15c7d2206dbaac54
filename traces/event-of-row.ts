// SPDX-License-Identifier: Apache-2.0
import type { EventBatch } from './columns.js';
import type { Event } from './model.js';

const WORD = 0x1_0000_0000;
/** The upper word of 2^53. */
const EXACT_HIGH = 0x20_0000;

/** Exact up to 2^53, which is 34 days of ticks at 3 GHz; rounded above. */
export function wordsNumber(words: Uint32Array, row: number): number {
  return (words[2 * row] as number) + (words[2 * row + 1] as number) * WORD;
}

/**
 * The row as an event that outlives its batch. `alike`: of a batch in groups, the row from which the columns may be read that
 * the group has in common.
 */
export function eventOfRow(
  trace: { ticksToNs(ticks: number): number },
  batch: EventBatch,
  row: number,
  alike = row,
): Event {
  const isExact = (batch.timeWords[2 * row + 1] as number) < EXACT_HIGH;
  const duration = wordsNumber(batch.durationWords, row);
  const entered = isExact
    ? wordsNumber(batch.timeWords, row) - duration
    : Number((batch.time[row] as bigint) - (batch.duration[row] as bigint));
  return {
    number: batch.firstEvent + row,
    kind: batch.kind[alike] as number,
    flags: batch.flags[alike] as number,
    thread: batch.thread[alike] as number,
    object: batch.object[alike] as number,
    fd: batch.fd[alike] as number,
    op: batch.op[alike] as number,
    time: trace.ticksToNs(entered),
    duration: trace.ticksToNs(duration),
    offset: batch.offset[alike] as bigint,
    value: batch.value[row] as bigint,
    result: batch.result[alike] as bigint,
    errno: batch.errno[alike] as number,
    site: batch.site[alike] as number,
    payloads: batch.payloads.of(row),
  };
}
