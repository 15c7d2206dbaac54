// SPDX-License-Identifier: Apache-2.0
import type { EventBatch } from './columns.js';
import type { EventGroups } from './event-groups.js';
import { SHAPES_WORTH_IT, ShapeBuilder } from './shapes.js';

/** Builds groups where the file's own shapes do not serve. */
export class Grouper {
  readonly #builder = new ShapeBuilder();
  #each = new Uint16Array(0);
  #eachRow = new Int32Array(0);

  group(batch: EventBatch, into: EventGroups): void {
    const { length } = batch;
    const count = this.#builder.build(batch, true, SHAPES_WORTH_IT);
    if (count > 0 || length === 0) {
      into.of = this.#builder.shapes;
      into.rows = this.#builder.rows;
      into.count = count;
      return;
    }
    // Too many for that: each row by itself.
    if (this.#each.length < length) {
      this.#each = Uint16Array.from({ length }, (_, row) => row);
      this.#eachRow = Int32Array.from({ length }, (_, row) => row);
    }
    into.of = this.#each;
    into.rows = this.#eachRow;
    into.count = length;
  }
}
