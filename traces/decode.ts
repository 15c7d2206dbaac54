// SPDX-License-Identifier: Apache-2.0
/**
 * From the columns of a chunk to a batch. The bytes are somebody else's: every size is checked against the number of
 * events before anything is allocated or inflated, and MalformedChunk says what is wrong.
 */
import { inflateRawSync } from 'node:zlib';
import {
  Codec,
  ColumnId,
  NARROW_COLUMNS,
  type NarrowColumn,
  Transform,
  WIDE_COLUMNS,
  wordsOf,
} from './column-table.js';
import { COLUMN_NAMES, type ColumnName, type EventBatch } from './columns.js';
import type { EncodedColumn } from './encode.js';
import { EventGroups } from './event-groups.js';
import { GroupNumbers } from './group-numbers.js';
import { Grouper } from './groups.js';
import {
  addZigzag,
  delta,
  fillPairs,
  gather,
  largestOf,
  lookup8,
  lookup16,
  lookup32,
  lookup64,
  plain,
  shapeDelta,
} from './kernels.js';
import { MAX_SHAPES } from './limits.js';

export class MalformedChunk extends Error {
  override readonly name = 'MalformedChunk';
}

type Numbers = Uint8Array | Uint16Array | Uint32Array;

/** Bytes as their writer had them. */
export function decompress(codec: number, data: Uint8Array, rawSize: number): Uint8Array {
  switch (codec) {
    case Codec.NONE:
      if (data.length !== rawSize) {
        throw new MalformedChunk(`${data.length} bytes where ${rawSize} are announced`);
      }
      return data;
    case Codec.DEFLATE: {
      let bytes: Uint8Array;
      try {
        // A little more room than needed, or zlib asks for a second buffer to see that nothing follows.
        bytes = inflateRawSync(data, {
          maxOutputLength: Math.max(rawSize, 1),
          chunkSize: Math.max(rawSize + 16, 64),
        });
      } catch (error) {
        throw new MalformedChunk(`deflate: ${error instanceof Error ? error.message : String(error)}`);
      }
      if (bytes.length !== rawSize) {
        throw new MalformedChunk(`${bytes.length} bytes inflated where ${rawSize} are announced`);
      }
      return bytes;
    }
    default:
      throw new MalformedChunk(`codec ${codec} is not known`);
  }
}

export class ColumnDecoder {
  private capacity = 0;
  private shapes = new Uint16Array(0);
  private low = new Uint32Array(0);
  private words = new Uint32Array(0);
  private table = new Uint32Array(0);
  private table64 = new BigUint64Array(0);
  private last = new Uint32Array(0);
  private escapeAt = new Uint32Array(0);
  private escapeWords = new Uint32Array(0);
  private aligned = new Uint8Array(0);
  private shapeCount = 0;
  private readonly groups = new EventGroups();
  private grouper: Grouper | undefined;
  private groupNumbers: GroupNumbers | undefined;
  private groupRows = new Int32Array(0);

  /** Decodes the wanted columns of a chunk into rows 0 to batch.length. */
  decode(columns: readonly EncodedColumn[], batch: EventBatch, wanted: ReadonlySet<ColumnName>): void {
    const events = batch.length;
    const byId = new Map<number, EncodedColumn>();
    for (const column of columns) {
      byId.set(column.id, column);
    }
    this.shapeCount = 0;
    this.reserve(neededCapacity(columns, events));
    for (const target of NARROW_COLUMNS) {
      if (wanted.has(target.name)) {
        this.narrow(byId, target, batch, events);
      }
    }
    for (const { name, id } of WIDE_COLUMNS) {
      if (wanted.has(name)) {
        const column = byId.get(id);
        if (column === undefined) {
          wordsOf(batch, name).fill(0, 0, 2 * events);
        } else {
          this.wide(byId, column, wordsOf(batch, name), events);
        }
      }
    }
  }

  /**
   * The same, with the rows' groups. Columns of which all rows of a group hold the same are there in the group's own row
   * only, where the file has them so.
   */
  decodeGroups(columns: readonly EncodedColumn[], batch: EventBatch, wanted: ReadonlySet<ColumnName>): void {
    const { groups } = this;
    batch.groups = groups;
    if (columns.every(isOfShapes)) this.decodeShapes(columns, batch, groups, wanted);
    else {
      this.decode(columns, batch, ALL_COLUMNS);
      this.grouper ??= new Grouper();
      this.grouper.group(batch, groups);
    }
    this.groupNumbers ??= new GroupNumbers();
    this.groupNumbers.number(batch, groups);
  }

  private decodeShapes(
    columns: readonly EncodedColumn[],
    batch: EventBatch,
    groups: EventGroups,
    wanted: ReadonlySet<ColumnName>,
  ): void {
    const events = batch.length;
    const byId = new Map(columns.map((column) => [column.id, column]));
    this.shapeCount = 0;
    this.reserve(neededCapacity(columns, events));
    const count = this.loadShapes(byId, events);
    const rows = this.rowsOfShapes(events, count);
    groups.of = this.shapes;
    groups.rows = rows;
    groups.count = count;
    for (const target of NARROW_COLUMNS) {
      const column = byId.get(target.id);
      const out = batch[target.name];
      const table = this.groupTable(column, events);
      for (let n = 0; n < count; n++) {
        const row = rows[n] as number;
        if (row >= 0) out[row] = table === undefined ? baseOf(column) : (table[2 * n] as number);
      }
    }
    for (const { name, id } of WIDE_COLUMNS) {
      const column = byId.get(id);
      const out = wordsOf(batch, name);
      if (OF_SHAPES.has(id)) {
        const table = this.groupTable(column, events);
        const base = column?.base ?? 0n;
        for (let n = 0; n < count; n++) {
          const at = 2 * (rows[n] as number);
          if (at < 0) continue;
          out[at] = table === undefined ? Number(BigInt.asUintN(32, base)) : (table[2 * n] as number);
          out[at + 1] =
            table === undefined ? Number(BigInt.asUintN(32, base >> 32n)) : (table[2 * n + 1] as number);
        }
      } else if (wanted.has(name)) {
        if (column === undefined) out.fill(0, 0, 2 * events);
        else this.wide(byId, column, out, events);
      }
    }
  }

  /** What a column holds for each shape, as pairs of words; undefined: its base for all. */
  private groupTable(column: EncodedColumn | undefined, events: number): Uint32Array | undefined {
    if (column === undefined) return undefined;
    if (column.width === 0) {
      checkSize(column, events);
      return undefined;
    }
    this.loadTable(column);
    return this.table;
  }

  /** The first row of each shape, -1 where there is none. */
  private rowsOfShapes(events: number, count: number): Int32Array {
    if (this.groupRows.length < count) this.groupRows = new Int32Array(Math.max(count, 256));
    const { groupRows, shapes } = this;
    groupRows.fill(-1, 0, count);
    for (let i = events - 1; i >= 0; i--) groupRows[shapes[i] as number] = i;
    return groupRows;
  }

  /** Room for so many events or shapes: a small trace should not take the memory of a large one. */
  private reserve(needed: number): void {
    if (needed <= this.capacity) {
      return;
    }
    let capacity = 256;
    while (capacity < needed) {
      capacity *= 2;
    }
    this.capacity = capacity;
    this.shapes = new Uint16Array(capacity);
    this.low = new Uint32Array(capacity);
    this.words = new Uint32Array(2 * capacity);
    this.table = new Uint32Array(2 * capacity);
    this.table64 = new BigUint64Array(this.table.buffer);
    this.last = new Uint32Array(2 * capacity);
    this.escapeAt = new Uint32Array(capacity + 1);
    this.escapeWords = new Uint32Array(2 * capacity);
    this.aligned = new Uint8Array(4 * capacity);
  }

  private narrow(
    byId: ReadonlyMap<number, EncodedColumn>,
    target: NarrowColumn,
    batch: EventBatch,
    events: number,
  ): void {
    const out = batch[target.name];
    const column = byId.get(target.id);
    if (column === undefined) {
      out.fill(0, 0, events);
      return;
    }
    const base = Number(BigInt.asIntN(32, column.base));
    if (column.width === 0) {
      checkSize(column, events);
      out.fill(base, 0, events);
      return;
    }
    if (column.transform === Transform.LOOKUP) {
      this.loadShapes(byId, events);
      const size = this.loadTable(column);
      const table = this.table;
      for (let n = 0; n < size; n++) {
        table[n] = table[2 * n] as number;
      }
      if (out instanceof Uint8Array) {
        lookup8(this.shapes, table, out, events);
      } else if (out instanceof Uint16Array) {
        lookup16(this.shapes, table, out, events);
      } else {
        lookup32(this.shapes, table, new Uint32Array(out.buffer), events);
      }
      return;
    }
    if (column.transform === Transform.PLAIN && column.escapes === 0 && column.width < 8) {
      checkSize(column, events);
      const numbers = this.numbers(column, events);
      if (base === 0) {
        out.set(numbers);
      } else {
        const low = this.low;
        low.set(numbers);
        for (let i = 0; i < events; i++) {
          out[i] = (low[i] as number) + base;
        }
      }
      return;
    }
    this.wide(byId, column, this.words, events);
    const words = this.words;
    for (let i = 0; i < events; i++) {
      out[i] = words[2 * i] as number;
    }
  }

  private wide(
    byId: ReadonlyMap<number, EncodedColumn>,
    column: EncodedColumn,
    out: Uint32Array,
    events: number,
  ): void {
    const baseLow = Number(BigInt.asUintN(32, column.base));
    const baseHigh = Number(BigInt.asUintN(32, column.base >> 32n));
    if (column.width === 0) {
      checkSize(column, events);
      for (let i = 0; i < events; i++) {
        out[2 * i] = baseLow;
        out[2 * i + 1] = baseHigh;
      }
      return;
    }
    if (column.transform === Transform.LOOKUP) {
      this.loadShapes(byId, events);
      this.loadTable(column);
      lookup64(this.shapes, this.table64, new BigUint64Array(out.buffer), events);
      return;
    }
    checkSize(column, events);
    if (column.width === 8) {
      this.fullWidth(byId, column, out, events, baseLow, baseHigh);
      return;
    }
    const numbers = this.numbers(column, events);
    const escapes = this.loadEscapes(column, numbers, events);
    if (!column.planes) {
      this.low.set(numbers);
    }
    switch (column.transform) {
      case Transform.PLAIN:
        plain(this.low, this.escapeAt, this.escapeWords, escapes, out, events, baseLow, baseHigh);
        break;
      case Transform.DELTA:
        delta(this.low, this.escapeAt, this.escapeWords, escapes, out, events, baseLow, baseHigh);
        break;
      case Transform.SHAPE_DELTA: {
        const shapeCount = this.loadShapes(byId, events);
        fillPairs(this.last, shapeCount, baseLow, baseHigh);
        shapeDelta(this.low, this.escapeAt, this.escapeWords, escapes, this.shapes, this.last, out, events);
        break;
      }
      default:
        throw new MalformedChunk(`transform ${column.transform} is not known`);
    }
  }

  /** Width 8: every number is treated as an escape is. */
  private fullWidth(
    byId: ReadonlyMap<number, EncodedColumn>,
    column: EncodedColumn,
    out: Uint32Array,
    events: number,
    baseLow: number,
    baseHigh: number,
  ): void {
    if (column.escapes !== 0) {
      throw new MalformedChunk(`column ${column.id}: escapes from 8 bytes`);
    }
    const bytes = decompress(column.codec, column.data, column.rawSize);
    new Uint8Array(out.buffer, out.byteOffset, 8 * events).set(bytes);
    switch (column.transform) {
      case Transform.PLAIN:
        if (baseLow !== 0 || baseHigh !== 0) {
          for (let i = 0; i < events; i++) {
            const sum = (out[2 * i] as number) + baseLow;
            out[2 * i] = sum;
            out[2 * i + 1] = (out[2 * i + 1] as number) + baseHigh + (sum > 0xffffffff ? 1 : 0);
          }
        }
        break;
      case Transform.DELTA: {
        let low = baseLow;
        let high = baseHigh;
        for (let i = 0; i < events; i++) {
          const sum = low + (out[2 * i] as number);
          high = (high + (out[2 * i + 1] as number) + (sum > 0xffffffff ? 1 : 0)) >>> 0;
          low = sum >>> 0;
          out[2 * i] = low;
          out[2 * i + 1] = high;
        }
        break;
      }
      case Transform.SHAPE_DELTA: {
        const shapeCount = this.loadShapes(byId, events);
        const { last, shapes } = this;
        fillPairs(last, shapeCount, baseLow, baseHigh);
        for (let i = 0; i < events; i++) {
          const at = 2 * (shapes[i] as number);
          addZigzag(last, at, out[2 * i] as number, out[2 * i + 1] as number);
          out[2 * i] = last[at] as number;
          out[2 * i + 1] = last[at + 1] as number;
        }
        break;
      }
      default:
        throw new MalformedChunk(`transform ${column.transform} is not known`);
    }
  }

  /** The first `count` numbers of a column, of width 1, 2 or 4. */
  private numbers(column: EncodedColumn, count: number): Numbers {
    const bytes = decompress(column.codec, column.data, column.rawSize);
    if (column.escapes > 0) {
      const pairs = this.escapeWords;
      const escaped = bytes.subarray(column.width * count);
      new Uint8Array(pairs.buffer, 0, escaped.length).set(escaped);
    }
    if (column.width === 1) {
      return bytes.subarray(0, count);
    }
    if (column.planes) {
      gather(bytes, column.width, this.low, count);
      return this.low.subarray(0, count);
    }
    let buffer = bytes.buffer;
    let offset = bytes.byteOffset;
    if (offset % column.width !== 0) {
      this.aligned.set(bytes.subarray(0, column.width * count));
      buffer = this.aligned.buffer;
      offset = 0;
    }
    return column.width === 2
      ? new Uint16Array(buffer, offset, count)
      : new Uint32Array(buffer, offset, count);
  }

  /** Finds where the escapes are; the end comes last. */
  private loadEscapes(column: EncodedColumn, numbers: Numbers, events: number): number {
    const { escapeAt } = this;
    let found = 0;
    if (column.escapes > 0) {
      const marker = column.width === 4 ? 0xffffffff : column.width === 2 ? 0xffff : 0xff;
      for (
        let at = numbers.indexOf(marker);
        at >= 0 && found < column.escapes;
        at = numbers.indexOf(marker, at + 1)
      ) {
        escapeAt[found++] = at;
      }
      if (found !== column.escapes || numbers.indexOf(marker, (escapeAt[found - 1] as number) + 1) >= 0) {
        throw new MalformedChunk(
          `column ${column.id}: ${column.escapes} escapes are announced, but not there`,
        );
      }
    }
    escapeAt[found] = events;
    return found;
  }

  /** Loads the shape of each event, once for a chunk; returns one more than the largest. */
  private loadShapes(byId: ReadonlyMap<number, EncodedColumn>, events: number): number {
    if (this.shapeCount > 0) {
      return this.shapeCount;
    }
    const { shapes } = this;
    const column = byId.get(ColumnId.SHAPE);
    if (column === undefined) {
      shapes.fill(0, 0, events);
      this.shapeCount = 1;
      return 1;
    }
    if (
      column.transform !== Transform.PLAIN ||
      column.escapes !== 0 ||
      column.base !== 0n ||
      column.width > 2
    ) {
      throw new MalformedChunk('the shape column is not a plain one of at most 2 bytes');
    }
    checkSize(column, events);
    if (column.width === 0) {
      shapes.fill(0, 0, events);
    } else {
      shapes.set(this.numbers(column, events));
    }
    this.shapeCount = largestOf(shapes, events) + 1;
    return this.shapeCount;
  }

  /** Loads what the shapes mean for a column, as pairs of words. */
  private loadTable(column: EncodedColumn): number {
    const size = column.rawSize / column.width;
    if (!Number.isInteger(size) || size > MAX_SHAPES || column.escapes !== 0) {
      throw new MalformedChunk(
        `column ${column.id}: ${column.rawSize} bytes are not a table of ${column.width}-byte numbers`,
      );
    }
    if (size < this.shapeCount) {
      throw new MalformedChunk(
        `column ${column.id}: its table has ${size} entries, the shapes need ${this.shapeCount}`,
      );
    }
    const { table } = this;
    if (column.width === 8) {
      const bytes = decompress(column.codec, column.data, column.rawSize);
      new Uint8Array(table.buffer, 0, bytes.length).set(bytes);
    } else {
      const numbers = this.numbers(column, size);
      for (let n = 0; n < size; n++) {
        table[2 * n] = numbers[n] as number;
        table[2 * n + 1] = 0;
      }
    }
    if (column.base !== 0n) {
      const baseLow = Number(BigInt.asUintN(32, column.base));
      const baseHigh = Number(BigInt.asUintN(32, column.base >> 32n));
      for (let n = 0; n < size; n++) {
        const sum = (table[2 * n] as number) + baseLow;
        table[2 * n] = sum;
        table[2 * n + 1] = (table[2 * n + 1] as number) + baseHigh + (sum > 0xffffffff ? 1 : 0);
      }
    }
    return size;
  }
}

/** Columns that the format's shapes may hold. */
const OF_SHAPES: ReadonlySet<number> = new Set([
  ...NARROW_COLUMNS.map(({ id }) => id),
  ColumnId.OFFSET,
  ColumnId.RESULT,
]);
const ALL_COLUMNS: ReadonlySet<ColumnName> = new Set(COLUMN_NAMES);

function isOfShapes({ id, width, transform }: EncodedColumn): boolean {
  return !OF_SHAPES.has(id) || width === 0 || transform === Transform.LOOKUP;
}

function baseOf(column: EncodedColumn | undefined): number {
  return column === undefined ? 0 : Number(BigInt.asIntN(32, column.base));
}

/** As many as there are events, entries in a table, and shapes that could be named. */
function neededCapacity(columns: readonly EncodedColumn[], events: number): number {
  let needed = events;
  for (const { id, width, transform, rawSize } of columns) {
    if (transform === Transform.LOOKUP && width > 0) {
      needed = Math.max(needed, Math.min(rawSize / width, MAX_SHAPES));
    }
    if (id === ColumnId.SHAPE) {
      needed = Math.max(needed, width > 1 ? MAX_SHAPES : 256);
    }
  }
  return needed;
}

function checkSize(column: EncodedColumn, events: number): void {
  if (column.transform === Transform.LOOKUP && column.width !== 0) {
    throw new MalformedChunk(`column ${column.id}: a lookup is not possible here`);
  }
  if (column.escapes > events || (column.width === 0 && column.escapes !== 0)) {
    throw new MalformedChunk(`column ${column.id}: ${column.escapes} escapes in ${events} events`);
  }
  if (column.rawSize !== column.width * events + 8 * column.escapes) {
    throw new MalformedChunk(
      `column ${column.id}: ${column.rawSize} bytes for ${events} events of ${column.width} bytes and ${column.escapes} escapes`,
    );
  }
}
