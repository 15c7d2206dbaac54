// SPDX-License-Identifier: Apache-2.0
/** Compression of a chunk's columns in zlib's thread pool, while the collector goes on draining. */
import { constants, deflateRaw, type ZlibOptions } from 'node:zlib';
import { Codec } from './column-table.js';

/** Smaller columns are not worth a task in the thread pool. */
const WORTH_COMPRESSING = 1024;
/** Compressed, a column must be this much smaller to be worth inflating in each pass over the trace. */
const WORTH_KEEPING = 0.95;
/** Searching for repeated strings takes twice the time of run lengths and Huffman codes: it must save this much. */
const WORTH_SEARCHING = 0.9;
/** Chunks until the other ways are tried again for a column. */
const RETRY_CHUNKS = 16;

type Way = 'none' | 'runs' | 'strings';

function deflated(bytes: Uint8Array, way: 'runs' | 'strings'): Promise<Uint8Array> {
  const options: ZlibOptions = {
    level: 1,
    strategy: way === 'runs' ? constants.Z_RLE : constants.Z_DEFAULT_STRATEGY,
    // One output buffer that surely suffices (zlib's deflateBound): each further one is a trip to the thread pool.
    chunkSize: bytes.length + (bytes.length >> 9) + 64,
  };
  return new Promise((resolve, reject) => {
    deflateRaw(bytes, options, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

export interface Compressed {
  readonly codec: number;
  readonly data: Uint8Array;
}

/** Remembers for each column (payloads have number 0) which way of compression suits it. */
export class Compressor {
  private readonly ways = new Map<number, { readonly way: Way; chunks: number }>();

  async compress(id: number, bytes: Uint8Array): Promise<Compressed> {
    if (bytes.length < WORTH_COMPRESSING) {
      return { codec: Codec.NONE, data: bytes };
    }
    const known = this.ways.get(id);
    if (known === undefined || known.chunks === 0) {
      return this.tryAll(id, bytes);
    }
    known.chunks--;
    const data = known.way === 'none' ? bytes : await deflated(bytes, known.way);
    return data.length < bytes.length ? { codec: Codec.DEFLATE, data } : { codec: Codec.NONE, data: bytes };
  }

  private async tryAll(id: number, bytes: Uint8Array): Promise<Compressed> {
    const [runs, strings] = await Promise.all([deflated(bytes, 'runs'), deflated(bytes, 'strings')]);
    const way = strings.length < runs.length * WORTH_SEARCHING ? 'strings' : 'runs';
    const data = way === 'strings' ? strings : runs;
    if (data.length > bytes.length * WORTH_KEEPING) {
      this.ways.set(id, { way: 'none', chunks: RETRY_CHUNKS });
      return { codec: Codec.NONE, data: bytes };
    }
    this.ways.set(id, { way, chunks: RETRY_CHUNKS });
    return { codec: Codec.DEFLATE, data };
  }
}
