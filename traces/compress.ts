// SPDX-License-Identifier: Apache-2.0
/** Compression of a chunk's columns in zlib's thread pool, while the collector goes on draining. */
import { deflateRaw, type ZlibOptions } from 'node:zlib';
import { Codec } from './column-table.js';
import type { EncodedColumn } from './encode.js';

/** Smaller columns are not worth a task in the thread pool. */
const WORTH_COMPRESSING = 64;
/** Compressed, a column must be this much smaller to be worth inflating in each pass over the trace. */
const WORTH_KEEPING = 0.95;
/** Chunks until a column that did not shrink is tried again. */
const RETRY_CHUNKS = 16;

export function deflated(bytes: Uint8Array, level = 1): Promise<Uint8Array> {
  // One output buffer that surely suffices (zlib's deflateBound): each further one would be a trip to the thread pool.
  const options: ZlibOptions = { level, chunkSize: bytes.length + (bytes.length >> 9) + 64, memLevel: 8 };
  return new Promise((resolve, reject) => {
    deflateRaw(bytes, options, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

export class Compressor {
  private readonly hopeless = new Map<number, number>();

  async column(column: EncodedColumn): Promise<EncodedColumn> {
    const wait = this.hopeless.get(column.id) ?? 0;
    if (wait > 0) {
      this.hopeless.set(column.id, wait - 1);
      return column;
    }
    if (column.data.length < WORTH_COMPRESSING) {
      return column;
    }
    const data = await deflated(column.data);
    if (data.length > column.data.length * WORTH_KEEPING) {
      this.hopeless.set(column.id, RETRY_CHUNKS);
      return column;
    }
    return { ...column, codec: Codec.DEFLATE, data };
  }
}
