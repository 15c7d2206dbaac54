// SPDX-License-Identifier: Apache-2.0
import { EventBatch } from '../../traces/columns.js';
import { TraceWriteError } from '../../traces/errors.js';
import type { RingPosition, TraceLoss } from '../../traces/model.js';
import { type NewSummary, noRoom, type TraceWriter } from '../../traces/writer.js';
import type { Definer } from './definer.js';
import type { RingReader } from './ring.js';

/** Of one event in a chunk, before compression: the sum of the columns' widths, and what a definition may add. */
const EVENT_BYTES_MOST = 64;
const BATCH_LEAST = 1024;
const BATCH_FIRST = 4096;
/** Summary, index and trailer. */
const SEAL_BYTES = 32768;

export interface WriteFailure {
  readonly code: string;
  events: number;
}

interface Mark {
  readonly ring: RingReader;
  readonly position: number;
  readonly side: number;
}

/** The batch that is being filled, and the chunks that are on their way into the file. */
export class TraceSink {
  readonly batch = new EventBatch();
  readonly failures: WriteFailure[] = [];
  /** Milliseconds at which the first event of the batch was taken. */
  batchSince = 0;
  /** Set once the next chunk might not fit any more. */
  limitReached = false;

  private readonly writer: TraceWriter;
  private readonly definer: Definer;
  private readonly maxBytes: number;
  private tail: Promise<void> = Promise.resolve();
  private inFlight = 0;
  private sent = 0;
  private largestChunk = 0;
  private trouble: unknown;

  constructor(writer: TraceWriter, definer: Definer, maxBytes: number) {
    this.writer = writer;
    this.definer = definer;
    this.maxBytes = maxBytes;
  }

  /** That are in the file, or that a flight recording gave up. */
  get events(): number {
    return this.failures.reduce((sum, { events }) => sum - events, this.writer.nextEvent);
  }

  /**
   * A batch of so many events goes off. The first ones are small: our code is slow until the engine has compiled it,
   * and the rings must not fill up meanwhile. With a limit, so that it is met closely.
   */
  get batchEvents(): number {
    const { capacity } = this.batch;
    const most = this.sent < 16 ? Math.min(capacity, BATCH_FIRST * 2 ** Math.floor(this.sent / 2)) : capacity;
    if (this.maxBytes === 0) return most;
    return Math.min(most, Math.max(BATCH_LEAST, Math.floor(this.maxBytes / 8 / EVENT_BYTES_MOST)));
  }

  /** Given up by a flight recording. */
  get droppedEvents(): number {
    return this.writer.droppedEvents;
  }

  /** Sends the batch off. Its records go back to their rings once the file has them, or will never have them. */
  async flush(rings: readonly RingReader[], now: number): Promise<void> {
    if (this.trouble !== undefined) throw this.trouble;
    const batch = this.batch;
    if (batch.length > 0 && (await this.fits())) {
      await this.writer.ready();
      this.writeDefinitions();
      const marks: Mark[] = rings.map((ring) => ({ ring, position: ring.position, side: ring.sideDone }));
      const positions: RingPosition[] = marks.map(({ ring, position, side }) => ({
        ring: ring.index,
        records: BigInt(position),
        side: BigInt(side),
      }));
      const events = batch.length;
      this.inFlight += 1;
      this.sent += 1;
      const written = this.writer.writeChunk(batch, positions).then(
        ({ bytes }) => {
          this.largestChunk = Math.max(this.largestChunk, bytes);
        },
        (error: unknown) => this.failed(error, events),
      );
      this.chain(written, marks);
    }
    batch.clear();
    this.batchSince = now;
  }

  /** Everything that was sent off is in the file, and given back to the rings. */
  async settle(): Promise<void> {
    await this.tail;
    if (this.trouble !== undefined) throw this.trouble;
  }

  /** Answers with the losses of the sealed trace: a full disk may have cost more of them. */
  async seal(summary: NewSummary): Promise<readonly TraceLoss[]> {
    this.writeDefinitions();
    await this.settle();
    const given = await this.writer.seal(summary);
    if (given === 0) return summary.losses;
    const loss = noRoom(given);
    this.failures.push({ code: loss.detail, events: given });
    return [...summary.losses, loss];
  }

  /** Leaves the file as it is. */
  async abandon(): Promise<void> {
    await this.settle();
    await this.writer.close();
  }

  private writeDefinitions(): void {
    if (!this.definer.hasPending) return;
    const definitions = this.definer.take();
    this.tail = Promise.all([
      this.tail,
      this.writer.writeDefinitions(definitions).catch((error: unknown) => {
        if (!(error instanceof TraceWriteError && error.code === 'LIMIT')) this.definer.putBack(definitions);
        this.failed(error, 0);
      }),
    ]).then(() => undefined);
  }

  /** In the order of the file: a ring's records go back only after those before them. */
  private chain(written: Promise<void>, marks: readonly Mark[]): void {
    this.tail = Promise.all([this.tail, written]).then(() => {
      this.inFlight -= 1;
      for (const { ring, position, side } of marks) ring.release(position, side);
    });
  }

  private failed(error: unknown, events: number): void {
    if (!(error instanceof TraceWriteError)) {
      this.trouble ??= error;
      return;
    }
    const known = this.failures.find(({ code }) => code === error.code);
    if (known !== undefined) known.events += events;
    else this.failures.push({ code: error.code, events });
  }

  private async fits(): Promise<boolean> {
    if (this.maxBytes === 0) return true;
    if (this.limitReached) return false;
    const { length, payloads } = this.batch;
    const most = length * EVENT_BYTES_MOST + payloads.bytesUsed + payloads.length * 40;
    const room = (chunk: number): boolean =>
      this.writer.bytesWritten + (this.inFlight + 1) * chunk + SEAL_BYTES <= this.maxBytes;
    if (room(most)) return true;
    // Near the limit: one at a time, and by what chunks have turned out to take.
    await this.settle();
    const expected = this.largestChunk === 0 ? most / 4 : Math.min(most, this.largestChunk * 1.25);
    this.limitReached = !room(expected);
    return !this.limitReached;
  }
}
