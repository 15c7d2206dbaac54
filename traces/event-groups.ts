// SPDX-License-Identifier: Apache-2.0
/**
 * The rows of a batch by what they have in common: the shapes of the format, offset included. Whoever counts or names
 * events does so once for a group, of which a chunk has a few hundred, and not once for each of its 65536 events.
 */
export class EventGroups {
  /** Group of each row. */
  of: Uint16Array = new Uint16Array(0);
  /** A row of each group, from which its columns may be read; -1: no row is in it. */
  rows: Int32Array = new Int32Array(0);
  count = 0;
  /** Of each group: the same in every chunk of a trace that has this group, as long as `generation` is the same. */
  numbers: Int32Array = new Int32Array(0);
  /** More than any number so far. */
  numbered = 0;
  /** Grows when numbers are given anew, since there were too many. */
  generation = 0;
}
