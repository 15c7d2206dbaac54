// SPDX-License-Identifier: Apache-2.0
import type { ColumnName, EventBatch } from './columns.js';

/** trace.proto's ColumnId. */
export const ColumnId = {
  KIND: 1,
  FLAGS: 2,
  THREAD: 3,
  OBJECT: 4,
  FD: 5,
  OP: 6,
  TIME: 7,
  DURATION: 8,
  OFFSET: 9,
  VALUE: 10,
  RESULT: 11,
  ERRNO: 12,
  SITE: 13,
  SHAPE: 14,
} as const;

/** trace.proto's Transform. */
export const Transform = { PLAIN: 0, DELTA: 1, LOOKUP: 2, SHAPE_DELTA: 3 } as const;

/** trace.proto's Codec. */
export const Codec = { NONE: 0, DEFLATE: 1 } as const;

export type NarrowName = 'kind' | 'flags' | 'thread' | 'object' | 'fd' | 'op' | 'errno' | 'site';
export type WideName = 'time' | 'duration' | 'offset' | 'value' | 'result';

export interface NarrowColumn {
  readonly name: NarrowName;
  readonly id: number;
  readonly signed: boolean;
  /** Largest value as an unsigned number. */
  readonly bits: 8 | 16 | 32;
}

export interface WideColumn {
  readonly name: WideName;
  readonly id: number;
}

/** Columns of at most 32 bits. */
export const NARROW_COLUMNS: readonly NarrowColumn[] = [
  { name: 'kind', id: ColumnId.KIND, signed: false, bits: 8 },
  { name: 'flags', id: ColumnId.FLAGS, signed: false, bits: 8 },
  { name: 'thread', id: ColumnId.THREAD, signed: false, bits: 32 },
  { name: 'object', id: ColumnId.OBJECT, signed: false, bits: 32 },
  { name: 'fd', id: ColumnId.FD, signed: true, bits: 32 },
  { name: 'op', id: ColumnId.OP, signed: false, bits: 32 },
  { name: 'errno', id: ColumnId.ERRNO, signed: false, bits: 16 },
  { name: 'site', id: ColumnId.SITE, signed: false, bits: 32 },
];

/** Columns of 64 bits. */
export const WIDE_COLUMNS: readonly WideColumn[] = [
  { name: 'time', id: ColumnId.TIME },
  { name: 'duration', id: ColumnId.DURATION },
  { name: 'offset', id: ColumnId.OFFSET },
  { name: 'value', id: ColumnId.VALUE },
  { name: 'result', id: ColumnId.RESULT },
];

export function columnId(name: ColumnName): number {
  const found =
    NARROW_COLUMNS.find((column) => column.name === name) ??
    WIDE_COLUMNS.find((column) => column.name === name);
  if (found === undefined) {
    throw new TypeError(`no column ${String(name)}`);
  }
  return found.id;
}

/** A 64-bit column as pairs of words, low first. */
export function wordsOf(batch: EventBatch, name: WideName): Uint32Array {
  switch (name) {
    case 'time':
      return batch.timeWords;
    case 'duration':
      return batch.durationWords;
    case 'offset':
      return batch.offsetWords;
    case 'value':
      return batch.valueWords;
    case 'result':
      return batch.resultWords;
  }
}
