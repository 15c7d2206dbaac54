// SPDX-License-Identifier: Apache-2.0
/** Events of one trace into another, row by row. */
import { EventBatch, PAYLOAD_CUT, PAYLOAD_FAULT, PAYLOAD_REDACTED } from '../traces/columns.js';
import type { Event, Payload } from '../traces/model.js';
import type { TraceWriter } from '../traces/writer.js';

/** What may be otherwise in the copy. */
export type Amended = Partial<Pick<Event, 'offset' | 'value' | 'result' | 'payloads'>>;

export class EventCopier {
  readonly #writer: TraceWriter;
  readonly #batch = new EventBatch();

  constructor(writer: TraceWriter) {
    this.#writer = writer;
  }

  async copy(from: EventBatch, row: number, amended: Amended = {}): Promise<void> {
    const batch = this.#batch;
    const payloads = amended.payloads ?? from.payloads.of(row);
    const bytes = payloads.reduce((sum, { data }) => sum + data.length, 0);
    if (batch.length === batch.capacity || !batch.payloads.hasRoom(payloads.length, bytes))
      await this.flush();
    const to = batch.length;
    batch.kind[to] = from.kind[row] as number;
    batch.flags[to] = from.flags[row] as number;
    batch.thread[to] = from.thread[row] as number;
    batch.object[to] = from.object[row] as number;
    batch.fd[to] = from.fd[row] as number;
    batch.op[to] = from.op[row] as number;
    batch.time[to] = from.time[row] as bigint;
    batch.duration[to] = from.duration[row] as bigint;
    batch.offset[to] = amended.offset ?? (from.offset[row] as bigint);
    batch.value[to] = amended.value ?? (from.value[row] as bigint);
    batch.result[to] = amended.result ?? (from.result[row] as bigint);
    batch.errno[to] = from.errno[row] as number;
    batch.site[to] = from.site[row] as number;
    for (const payload of payloads) {
      const { role, index, address, data } = payload;
      const at = batch.payloads.add(to, role, index, flagsOf(payload), address, data.length);
      batch.payloads.bytes.set(data, at);
    }
    batch.length = to + 1;
  }

  async flush(): Promise<void> {
    if (this.#batch.length === 0) return;
    await this.#writer.ready();
    await this.#writer.writeChunk(this.#batch, []);
    this.#batch.clear();
  }
}

function flagsOf({ cut, fault, redacted }: Payload): number {
  return (cut ? PAYLOAD_CUT : 0) | (fault ? PAYLOAD_FAULT : 0) | (redacted ? PAYLOAD_REDACTED : 0);
}
