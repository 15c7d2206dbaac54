// SPDX-License-Identifier: Apache-2.0
/** When each operation is due: at once, or as long after the first one as it was recorded. */
import { wordsNumber } from '../../session/story/row.js';
import type { EventBatch } from '../../traces/columns.js';
import type { Trace } from '../../traces/reader.js';

export interface Pace {
  /** `time`: when the recorded event was entered, ns since the start of the recording. */
  wait(time: number): void;
  waitTicks(batch: EventBatch, row: number, trace: Trace): void;
}

const FAST: Pace = { wait: () => undefined, waitTicks: () => undefined };
/** The last of a wait is spent looking at the clock: a sleep ends when the scheduler likes. */
const SPIN_NS = 200_000;

class RecordedPace implements Pace {
  #base: { readonly recorded: number; readonly here: bigint } | undefined;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));

  wait(time: number): void {
    this.#base ??= { recorded: time, here: process.hrtime.bigint() };
    const due = time - this.#base.recorded;
    for (;;) {
      const left = due - Number(process.hrtime.bigint() - this.#base.here);
      if (left <= 0) return;
      if (left > SPIN_NS) Atomics.wait(this.#sleeper, 0, 0, (left - SPIN_NS) / 1e6);
    }
  }

  waitTicks(batch: EventBatch, row: number, trace: Trace): void {
    this.wait(trace.ticksToNs(wordsNumber(batch.timeWords, row) - wordsNumber(batch.durationWords, row)));
  }
}

export function paceOf(pace: 'recorded' | 'fast'): Pace {
  return pace === 'recorded' ? new RecordedPace() : FAST;
}
