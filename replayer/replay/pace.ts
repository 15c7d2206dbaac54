// SPDX-License-Identifier: Apache-2.0
/** When each operation is due: at once, or as long after the first one as it was recorded. */

import type { EventBatch } from '../../traces/columns.js';
import { wordsNumber } from '../../traces/event-of-row.js';
import type { Trace } from '../../traces/reader.js';
import { NativeAccess } from '../native/access.js';

export interface Pace {
  readonly recorded: boolean;
  /** ns from now until what was recorded at `time` (when it was entered, ns since the start of the recording) is due. */
  left(time: number): number;
  /** Returns when it is due. */
  wait(time: number): void;
  waitTicks(batch: EventBatch, row: number, trace: Trace): void;
}

const FAST: Pace = {
  recorded: false,
  left: () => 0,
  wait: () => undefined,
  waitTicks: () => undefined,
};

class RecordedPace implements Pace {
  readonly recorded = true;
  readonly #native = new NativeAccess();
  readonly #late: ((ns: number) => void) | undefined;
  #base: { readonly recorded: number; readonly here: bigint } | undefined;

  constructor(late?: (ns: number) => void) {
    this.#late = late;
  }

  #due(time: number): bigint {
    this.#base ??= { recorded: time, here: process.hrtime.bigint() };
    return this.#base.here + BigInt(Math.round(time - this.#base.recorded));
  }

  left(time: number): number {
    return Number(this.#due(time) - process.hrtime.bigint());
  }

  wait(time: number): void {
    const late = this.#native.waitUntil(this.#due(time));
    this.#late?.(late);
  }

  waitTicks(batch: EventBatch, row: number, trace: Trace): void {
    this.wait(trace.ticksToNs(wordsNumber(batch.timeWords, row) - wordsNumber(batch.durationWords, row)));
  }
}

/** `late`: is told of each operation how late it was, ns. */
export function paceOf(pace: 'recorded' | 'fast', late?: (ns: number) => void): Pace {
  return pace === 'recorded' ? new RecordedPace(late) : FAST;
}
