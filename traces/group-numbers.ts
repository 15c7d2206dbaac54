// SPDX-License-Identifier: Apache-2.0
import type { EventBatch } from './columns.js';
import type { EventGroups } from './event-groups.js';

const TABLE_BITS = 17;
const TABLE_SIZE = 1 << TABLE_BITS;
/** Half of the table; no chunk has more groups. */
export const GROUP_NUMBERS_MAX = TABLE_SIZE / 2;
/** Words that the rows of a group have in common. */
const KEY = 10;

/** Numbers groups from 0 on: the next chunk's groups are mostly those of this one, and have their numbers. */
export class GroupNumbers {
  readonly #table = new Int32Array(TABLE_SIZE).fill(-1);
  readonly #key = new Uint32Array(KEY);
  /** A file can't know which of its groups collide. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  /** Side by side, by number. */
  #keys = new Uint32Array(256 * KEY);
  #count = 0;
  #generation = 0;
  #numbers = new Int32Array(0);

  /** `groups` has all but their numbers. */
  number(batch: EventBatch, groups: EventGroups): void {
    const { count, rows } = groups;
    if (this.#numbers.length < count) this.#numbers = new Int32Array(Math.max(count, 256));
    if (!this.#all(batch, rows, count)) {
      this.#forget();
      this.#all(batch, rows, count);
    }
    groups.numbers = this.#numbers;
    groups.numbered = this.#count;
    groups.generation = this.#generation;
  }

  /** False: there are too many. */
  #all(batch: EventBatch, rows: Int32Array, count: number): boolean {
    for (let group = 0; group < count; group++) {
      const row = rows[group] as number;
      const number = row < 0 ? 0 : this.#of(batch, row);
      if (number < 0) return false;
      this.#numbers[group] = number;
    }
    return true;
  }

  #forget(): void {
    this.#table.fill(-1);
    this.#count = 0;
    this.#generation++;
  }

  #of(batch: EventBatch, row: number): number {
    const table = this.#table;
    const key = this.#key;
    const { kind, flags, errno } = batch;
    key[0] = (kind[row] as number) | ((flags[row] as number) << 8) | ((errno[row] as number) << 16);
    key[1] = batch.site[row] as number;
    key[2] = batch.offsetWords[2 * row] as number;
    key[3] = batch.op[row] as number;
    key[4] = batch.thread[row] as number;
    key[5] = batch.resultWords[2 * row] as number;
    key[6] = batch.object[row] as number;
    key[7] = batch.fd[row] as number;
    key[8] = batch.offsetWords[2 * row + 1] as number;
    key[9] = batch.resultWords[2 * row + 1] as number;
    let hash = this.#seed;
    for (let n = 0; n < KEY; n++) {
      hash = Math.imul(hash ^ (key[n] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    let slot = hash & (TABLE_SIZE - 1);
    for (;;) {
      const number = table[slot] as number;
      if (number < 0) return this.#add(slot);
      if (this.#holds(number)) return number;
      slot = (slot + 1) & (TABLE_SIZE - 1);
    }
  }

  #holds(number: number): boolean {
    const key = this.#key;
    const keys = this.#keys;
    const at = number * KEY;
    for (let n = 0; n < KEY; n++) if (keys[at + n] !== key[n]) return false;
    return true;
  }

  #add(slot: number): number {
    const number = this.#count;
    if (number === GROUP_NUMBERS_MAX) return -1;
    if (this.#keys.length < (number + 1) * KEY) {
      const keys = new Uint32Array(2 * this.#keys.length);
      keys.set(this.#keys);
      this.#keys = keys;
    }
    this.#keys.set(this.#key, number * KEY);
    this.#table[slot] = number;
    this.#count++;
    return number;
  }
}
