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

/** Words of a key: what two events of the same shape have in common. */
const KEY = 10;

export class ShapeBuilder {
  /** Shape of each event. */
  readonly shapes = new Uint16Array(CHUNK_EVENTS);
  /** Row that showed each shape first. */
  readonly rows = new Int32Array(SHAPES_WORTH_IT);
  private readonly table = new Int32Array(TABLE_SIZE);
  /** The keys side by side: those of the usual few hundred shapes stay in the first-level cache. */
  private readonly keys = new Uint32Array(SHAPES_WORTH_IT * KEY);

  /** Number of shapes, or 0 when there are more than `limit`. */
  build(batch: EventBatch, withOffset: boolean, limit: number): number {
    const { kind, flags, thread, object, fd, op, errno, site, resultWords, offsetWords } = batch;
    const { shapes, rows, table, keys } = this;
    const events = batch.length;
    const offsetMask = withOffset ? 0xffffffff : 0;
    table.fill(-1);
    let count = 0;
    for (let i = 0; i < events; i++) {
      const small = ((kind[i] as number) | ((flags[i] as number) << 8) | ((errno[i] as number) << 16)) >>> 0;
      const threadNow = thread[i] as number;
      const objectNow = object[i] as number;
      const fdNow = (fd[i] as number) >>> 0;
      const opNow = op[i] as number;
      const siteNow = site[i] as number;
      const resultLow = resultWords[2 * i] as number;
      const resultHigh = resultWords[2 * i + 1] as number;
      const offsetLow = ((offsetWords[2 * i] as number) & offsetMask) >>> 0;
      const offsetHigh = ((offsetWords[2 * i + 1] as number) & offsetMask) >>> 0;
      let hash = Math.imul(siteNow ^ small ^ (threadNow << 20), 0x9e3779b1);
      hash = Math.imul(hash ^ (hash >>> 15) ^ opNow ^ (objectNow << 16), 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13) ^ offsetLow ^ (offsetHigh << 8), 0xc2b2ae35);
      hash = Math.imul(hash ^ (hash >>> 16) ^ resultLow ^ (fdNow << 12), 0x27d4eb2f);
      let slot = hash >>> (32 - TABLE_BITS);
      for (;;) {
        const shape = table[slot] as number;
        const key = shape * KEY;
        if (shape < 0) {
          if (count === limit) {
            return 0;
          }
          table[slot] = count;
          rows[count] = i;
          shapes[i] = count;
          const at = count * KEY;
          keys[at] = small;
          keys[at + 1] = siteNow;
          keys[at + 2] = offsetLow;
          keys[at + 3] = opNow;
          keys[at + 4] = threadNow;
          keys[at + 5] = resultLow;
          keys[at + 6] = objectNow;
          keys[at + 7] = fdNow;
          keys[at + 8] = offsetHigh;
          keys[at + 9] = resultHigh;
          count++;
          break;
        }
        if (
          keys[key] === small &&
          keys[key + 1] === siteNow &&
          keys[key + 2] === offsetLow &&
          keys[key + 3] === opNow &&
          keys[key + 4] === threadNow &&
          keys[key + 5] === resultLow &&
          keys[key + 6] === objectNow &&
          keys[key + 7] === fdNow &&
          keys[key + 8] === offsetHigh &&
          keys[key + 9] === resultHigh
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
