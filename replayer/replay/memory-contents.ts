// SPDX-License-Identifier: Apache-2.0
/**
 * What the driver had written to its memory, as far as the device read it (`record --dma content`): put there before the
 * store that told the device to look. Then a device finds the commands in its queues, and completes them.
 */
import { payloadBytes } from '../../session/payloads.js';
import type { EventBatch } from '../../traces/columns.js';
import { eventOfRow } from '../../traces/event-of-row.js';
import { EventKind, PayloadRole } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import { littleEndian } from './bytes.js';
import type { Counterparts } from './counterparts.js';

/** What is there from the start of the driver's next store on: found by comparing memory (recorder/shim/dma). */
const FILLED = 2;
const HELD = 3;
const READ_BY_DEVICE = 0;
/** What a driver does that a device may act upon. */
const CAUSES: ReadonlySet<number> = new Set([EventKind.STORE, EventKind.UPDATE, EventKind.WRITE]);

export class MemoryContents {
  readonly #trace: Trace;
  readonly #counterparts: Counterparts;
  /** The same trace, read ahead of the replay. */
  readonly #ahead: Generator<EventBatch, void, undefined> | Iterator<EventBatch>;
  #batch: EventBatch | undefined;
  #row = 0;
  /** Found before the cause that comes next. */
  #found: { readonly iova: bigint; readonly bytes: Uint8Array }[] = [];

  constructor(trace: Trace, counterparts: Counterparts) {
    this.#trace = trace;
    this.#counterparts = counterparts;
    const kinds = [EventKind.DMA, ...CAUSES];
    this.#ahead = trace.batches({ kinds })[Symbol.iterator]();
    this.#nextBatch();
  }

  /**
   * Before this event is reissued: what the device read between it and the driver's next cause to, and what the driver had
   * written by then.
   */
  before(kind: number, event: number): void {
    if (!CAUSES.has(kind)) return;
    for (const { iova, bytes } of this.#found) this.#counterparts.fill(iova, bytes);
    this.#found = [];
    for (;;) {
      const batch = this.#batch;
      if (batch === undefined) return;
      if (this.#row >= batch.end) {
        this.#nextBatch();
        continue;
      }
      const row = this.#row;
      const found = batch.kind[row] as number;
      if (CAUSES.has(found) && batch.firstEvent + row > event) return;
      if (found === EventKind.DMA) this.#take(batch, row, event);
      this.#row++;
    }
  }

  #nextBatch(): void {
    const next = this.#ahead.next();
    this.#batch = next.done === true ? undefined : next.value;
    this.#row = this.#batch?.begin ?? 0;
  }

  #take(batch: EventBatch, row: number, cause: number): void {
    const op = (batch.op[row] as number) & 0xff;
    if (batch.errno[row] !== 0) return;
    if (op === READ_BY_DEVICE) this.#fill(batch, row);
    if (op !== FILLED && op !== HELD) return;
    if (batch.firstEvent + row < cause) this.#fill(batch, row);
    else {
      const { iova, bytes } = this.#contents(batch, row);
      if (bytes !== undefined) this.#found.push({ iova, bytes });
    }
  }

  #fill(batch: EventBatch, row: number): void {
    const { iova, bytes } = this.#contents(batch, row);
    if (bytes !== undefined) this.#counterparts.fill(iova, bytes);
  }

  #contents(
    batch: EventBatch,
    row: number,
  ): { readonly iova: bigint; readonly bytes: Uint8Array | undefined } {
    const event = eventOfRow(this.#trace, batch, row);
    const count = Number(event.result);
    const bytes =
      payloadBytes(event, PayloadRole.DATA)?.slice() ??
      (count <= 8 ? littleEndian(event.value, count) : undefined);
    return { iova: event.offset, bytes };
  }
}
