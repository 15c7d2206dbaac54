// SPDX-License-Identifier: Apache-2.0
/**
 * Shapes: the combinations of the columns that repeat. A call site nearly always does the same thing to the same
 * object, so that a chunk of 65536 events has a few dozen combinations of kind, thread, object, op, site, …: they are
 * stored once, and each event as the number of its shape. This is both smaller and faster than a column for each.
 */
import { CHUNK_EVENTS, type EventBatch } from './columns.js';

const TABLE_BITS = 15;
const TABLE_SIZE = 1 << TABLE_BITS;

/** More shapes than this and the columns are better off on their own. */
export const SHAPES_WORTH_IT = TABLE_SIZE / 4;

export class ShapeBuilder {
  /** Shape of each event. */
  readonly shapes = new Uint16Array(CHUNK_EVENTS);
  /** Row that showed each shape first. */
  readonly rows = new Int32Array(SHAPES_WORTH_IT);
  private readonly table = new Int32Array(TABLE_SIZE);

  /** Number of shapes, or 0 when there are more than `limit`. */
  build(batch: EventBatch, withOffset: boolean, limit: number): number {
    const { kind, flags, thread, object, fd, op, errno, site, resultWords, offsetWords } = batch;
    const { shapes, rows, table } = this;
    const events = batch.length;
    const offsetMask = withOffset ? -1 : 0;
    table.fill(-1);
    let count = 0;
    for (let i = 0; i < events; i++) {
      const bits = (kind[i] as number) | ((flags[i] as number) << 8) | ((errno[i] as number) << 16);
      const offsetLow = (offsetWords[2 * i] as number) & offsetMask;
      const offsetHigh = (offsetWords[2 * i + 1] as number) & offsetMask;
      const resultLow = resultWords[2 * i] as number;
      const resultHigh = resultWords[2 * i + 1] as number;
      let hash = Math.imul((site[i] as number) ^ bits, 0x9e3779b1);
      hash = Math.imul(hash ^ (op[i] as number) ^ ((thread[i] as number) << 20), 0x85ebca6b) ^ (hash >>> 15);
      hash = Math.imul(hash ^ offsetLow ^ ((object[i] as number) << 24), 0xc2b2ae35) ^ (hash >>> 13);
      hash = Math.imul(hash ^ resultLow ^ (offsetHigh << 8) ^ ((fd[i] as number) << 16), 0x27d4eb2f);
      let slot = hash >>> (32 - TABLE_BITS);
      for (;;) {
        const shape = table[slot] as number;
        if (shape < 0) {
          if (count === limit) {
            return 0;
          }
          table[slot] = count;
          rows[count] = i;
          shapes[i] = count;
          count++;
          break;
        }
        const j = rows[shape] as number;
        if (
          site[i] === site[j] &&
          op[i] === op[j] &&
          offsetLow === ((offsetWords[2 * j] as number) & offsetMask) &&
          resultLow === resultWords[2 * j] &&
          kind[i] === kind[j] &&
          thread[i] === thread[j] &&
          object[i] === object[j] &&
          fd[i] === fd[j] &&
          flags[i] === flags[j] &&
          errno[i] === errno[j] &&
          offsetHigh === ((offsetWords[2 * j + 1] as number) & offsetMask) &&
          resultHigh === resultWords[2 * j + 1]
        ) {
          shapes[i] = shape;
          break;
        }
        slot = (slot + 1) & (TABLE_SIZE - 1);
      }
    }
    return count;
  }
}
