// SPDX-License-Identifier: Apache-2.0
import { type Chunk, parseChunk } from './chunk.js';
import type { ColumnName, EventBatch } from './columns.js';
import { ColumnDecoder, decompress, MalformedChunk } from './decode.js';
import { checksumFits, contentOf, type Frame } from './frame.js';
import { MAX_PAYLOADS_RAW_BYTES } from './limits.js';
import { decodePayloads } from './payloads.js';

/** Decodes chunk packets into batches; MalformedChunk says why one can't be. */
export class ChunkReader {
  private readonly columns = new ColumnDecoder();

  /** `packet` begins with the frame and may go on after it. */
  read(
    frame: Frame,
    packet: Uint8Array,
    into: EventBatch,
    wanted: ReadonlySet<ColumnName>,
    payloads: boolean,
    groups = false,
  ): Chunk {
    if (!checksumFits(frame, packet)) {
      throw new MalformedChunk('checksum mismatch');
    }
    const chunk = parseChunk(contentOf(frame, packet));
    if (chunk.events > into.capacity) {
      throw new MalformedChunk(`${chunk.events} events where at most ${into.capacity} are expected`);
    }
    into.clear();
    into.firstEvent = chunk.firstEvent;
    into.lastTicks = chunk.lastTicks;
    into.length = chunk.events;
    into.groups = undefined;
    if (groups) this.columns.decodeGroups(chunk.columns, into, wanted);
    else this.columns.decode(chunk.columns, into, wanted);
    if (payloads && chunk.payloads !== undefined) {
      const { codec, rawSize, data } = chunk.payloads;
      if (rawSize > MAX_PAYLOADS_RAW_BYTES) {
        throw new MalformedChunk(`${rawSize} bytes of payloads, the limit is ${MAX_PAYLOADS_RAW_BYTES}`);
      }
      const bytes = decompress(codec, data, rawSize);
      // Uncompressed, they lie in the buffer that the next packet is read into.
      decodePayloads(bytes === data ? new Uint8Array(bytes) : bytes, chunk.events, into.payloads);
    }
    return chunk;
  }
}
