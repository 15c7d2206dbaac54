// SPDX-License-Identifier: Apache-2.0
/** From a batch to the numbers of its columns: transforms and widths. Compression is the writer's next step. */
import { Codec, ColumnId, NARROW_COLUMNS, Transform, WIDE_COLUMNS, wordsOf } from './column-table.js';
import { CHUNK_EVENTS, type EventBatch } from './columns.js';
import { SHAPES_WORTH_IT, ShapeBuilder } from './shapes.js';

export interface EncodedColumn {
  readonly id: number;
  readonly width: number;
  readonly transform: number;
  readonly base: bigint;
  readonly codec: number;
  readonly rawSize: number;
  readonly data: Uint8Array;
  readonly escapes: number;
  readonly planes: boolean;
}

/** Shapes that include the offset pay while there are few; a byte for each event then tells three columns more. */
const SHAPES_WITH_OFFSET = 2048;
/** Chunks until a layout that did not fit is tried again. */
const RETRY_CHUNKS = 16;

/** Index in ColumnEncoder.lengths of the numbers beyond 32 bits. */
const LONGER = 33;

export class ColumnEncoder {
  private readonly shapes = new ShapeBuilder();
  private readonly low = new Uint32Array(CHUNK_EVENTS);
  private readonly high = new Uint32Array(CHUNK_EVENTS);
  private readonly otherLow = new Uint32Array(CHUNK_EVENTS);
  private readonly otherHigh = new Uint32Array(CHUNK_EVENTS);
  private readonly last = new Uint32Array(2 * SHAPES_WORTH_IT);
  private readonly lengths = new Uint32Array(LONGER + 1);
  private withoutOffset = 0;
  private withoutShapes = 0;

  /**
   * What will not be compressed is to be read fast: bytes in planes, and differences, make better deflate input but take
   * longer to put together.
   */
  constructor(private readonly compact: boolean) {}

  /** Columns whose values are all 0 are left out. */
  encode(batch: EventBatch): EncodedColumn[] {
    const events = batch.length;
    let withOffset = false;
    let shapeCount = 0;
    if (this.withoutOffset > 0) {
      this.withoutOffset--;
    } else {
      shapeCount = this.shapes.build(batch, true, SHAPES_WITH_OFFSET);
      withOffset = shapeCount > 0;
      this.withoutOffset = withOffset ? 0 : RETRY_CHUNKS;
    }
    if (shapeCount === 0 && this.withoutShapes === 0) {
      shapeCount = this.shapes.build(batch, false, SHAPES_WORTH_IT);
      this.withoutShapes = shapeCount > 0 ? 0 : RETRY_CHUNKS;
    } else if (this.withoutShapes > 0) {
      this.withoutShapes--;
    }

    const columns: (EncodedColumn | undefined)[] = [];
    if (shapeCount > 1) {
      columns.push(this.shapeColumn(events, shapeCount));
    }
    for (const column of NARROW_COLUMNS) {
      this.loadNarrow(batch[column.name], column.signed, shapeCount, events);
      columns.push(
        this.narrowed(
          column.id,
          shapeCount > 0 ? Transform.LOOKUP : Transform.PLAIN,
          shapeCount || events,
          column.signed,
        ),
      );
    }
    for (const { name, id } of WIDE_COLUMNS) {
      const words = wordsOf(batch, name);
      if (name === 'time' && this.compact) {
        columns.push(this.deltas(id, words, events));
      } else if (shapeCount > 0 && (name === 'result' || (name === 'offset' && withOffset))) {
        this.loadWideRows(words, shapeCount);
        columns.push(this.narrowed(id, Transform.LOOKUP, shapeCount, name === 'result'));
      } else if (this.compact && shapeCount > 0 && name !== 'duration') {
        columns.push(this.plainOrShapeDelta(id, words, events, shapeCount, name === 'result'));
      } else {
        this.loadWide(words, events);
        columns.push(this.narrowed(id, Transform.PLAIN, events, name === 'result'));
      }
    }
    return columns.filter((column) => column !== undefined);
  }

  private shapeColumn(events: number, shapeCount: number): EncodedColumn {
    const shapes = this.shapes.shapes.subarray(0, events);
    const data = shapeCount <= 256 ? Uint8Array.from(shapes) : bytesOf(shapes.slice());
    return {
      id: ColumnId.SHAPE,
      width: shapeCount <= 256 ? 1 : 2,
      transform: Transform.PLAIN,
      base: 0n,
      codec: Codec.NONE,
      rawSize: data.length,
      data,
      escapes: 0,
      planes: false,
    };
  }

  private loadNarrow(
    values: Uint8Array | Uint16Array | Uint32Array | Int32Array,
    signed: boolean,
    shapeCount: number,
    events: number,
  ): void {
    const { low, high } = this;
    const rows = this.shapes.rows;
    const count = shapeCount || events;
    for (let n = 0; n < count; n++) {
      const value = values[shapeCount > 0 ? (rows[n] as number) : n] as number;
      low[n] = value;
      high[n] = signed ? value >> 31 : 0;
    }
  }

  private loadWideRows(words: Uint32Array, shapeCount: number): void {
    const { low, high } = this;
    const rows = this.shapes.rows;
    for (let n = 0; n < shapeCount; n++) {
      const row = rows[n] as number;
      low[n] = words[2 * row] as number;
      high[n] = words[2 * row + 1] as number;
    }
  }

  private loadWide(words: Uint32Array, events: number): void {
    const { low, high } = this;
    for (let i = 0; i < events; i++) {
      low[i] = words[2 * i] as number;
      high[i] = words[2 * i + 1] as number;
    }
  }

  private deltas(id: number, words: Uint32Array, events: number): EncodedColumn | undefined {
    const { low, high } = this;
    let lastLow = words[0] as number;
    let lastHigh = words[1] as number;
    const base = (BigInt(lastHigh) << 32n) | BigInt(lastLow);
    for (let i = 0; i < events; i++) {
      const nowLow = words[2 * i] as number;
      const nowHigh = words[2 * i + 1] as number;
      low[i] = nowLow - lastLow;
      high[i] = nowHigh - lastHigh - (nowLow < lastLow ? 1 : 0);
      lastLow = nowLow;
      lastHigh = nowHigh;
    }
    return this.pack(id, Transform.DELTA, base, low, high, events);
  }

  private plainOrShapeDelta(
    id: number,
    words: Uint32Array,
    events: number,
    shapeCount: number,
    signed: boolean,
  ): EncodedColumn | undefined {
    const { otherLow, otherHigh, last } = this;
    const shapes = this.shapes.shapes;
    last.fill(0, 0, 2 * shapeCount);
    let plainBytes = 0;
    let deltaBytes = 0;
    for (let i = 0; i < events; i++) {
      const nowLow = words[2 * i] as number;
      const nowHigh = words[2 * i + 1] as number;
      const at = 2 * (shapes[i] as number);
      const lastLow = last[at] as number;
      const differenceLow = (nowLow - lastLow) | 0;
      const differenceHigh = (nowHigh - (last[at + 1] as number) - (nowLow < lastLow ? 1 : 0)) | 0;
      last[at] = nowLow;
      last[at + 1] = nowHigh;
      // Zigzag: small negative numbers become small positive ones.
      const sign = differenceHigh >> 31;
      const zigzagLow = (differenceLow << 1) ^ sign;
      const zigzagHigh = ((differenceHigh << 1) | (differenceLow >>> 31)) ^ sign;
      otherLow[i] = zigzagLow;
      otherHigh[i] = zigzagHigh;
      plainBytes += significantBytes(nowLow, nowHigh);
      deltaBytes += significantBytes(zigzagLow >>> 0, zigzagHigh);
    }
    if (deltaBytes < plainBytes) {
      return this.pack(id, Transform.SHAPE_DELTA, 0n, otherLow, otherHigh, events);
    }
    this.loadWide(words, events);
    return this.narrowed(id, Transform.PLAIN, events, signed);
  }

  /** Takes the smallest of the loaded numbers off all of them. */
  private narrowed(id: number, transform: number, count: number, signed: boolean): EncodedColumn | undefined {
    const { low, high } = this;
    const flip = signed ? 0x80000000 : 0;
    let baseLow = low[0] as number;
    let baseHigh = high[0] as number;
    for (let n = 1; n < count; n++) {
      const nowHigh = high[n] as number;
      const nowLow = low[n] as number;
      if (nowHigh === baseHigh ? nowLow < baseLow : (nowHigh ^ flip) >>> 0 < (baseHigh ^ flip) >>> 0) {
        baseLow = nowLow;
        baseHigh = nowHigh;
      }
    }
    if (baseLow !== 0 || baseHigh !== 0) {
      for (let n = 0; n < count; n++) {
        const nowLow = low[n] as number;
        high[n] = (high[n] as number) - baseHigh - (nowLow < baseLow ? 1 : 0);
        low[n] = nowLow - baseLow;
      }
    }
    return this.pack(id, transform, (BigInt(baseHigh) << 32n) | BigInt(baseLow), low, high, count);
  }

  /** The narrowest width, letting a few large numbers escape from it. */
  private pack(
    id: number,
    transform: number,
    base: bigint,
    low: Uint32Array,
    high: Uint32Array,
    count: number,
  ): EncodedColumn | undefined {
    let anyHigh = 0;
    let anyLow = 0;
    const { lengths } = this;
    lengths.fill(0);
    for (let n = 0; n < count; n++) {
      const nowLow = low[n] as number;
      const nowHigh = high[n] as number;
      anyLow |= nowLow;
      anyHigh |= nowHigh;
      // Bits of the number plus one, since all ones are the mark of an escape: 0 is 2^32 - 1.
      const length = nowHigh !== 0 ? LONGER : 32 - Math.clz32(nowLow + 1);
      lengths[length] = (lengths[length] as number) + 1;
    }
    const full = anyHigh !== 0 ? 8 : anyLow >>> 16 !== 0 ? 4 : anyLow >>> 8 !== 0 ? 2 : anyLow !== 0 ? 1 : 0;
    if (full === 0) {
      if (base === 0n && transform !== Transform.LOOKUP) {
        return undefined;
      }
      // The same value everywhere: what it is looked up by does not matter.
      const plain = transform === Transform.LOOKUP ? Transform.PLAIN : transform;
      return base === 0n ? undefined : column(id, 0, plain, base, new Uint8Array(0));
    }
    let width = full;
    let size = full * count;
    let escapes = 0;
    if (transform !== Transform.LOOKUP) {
      for (const [narrower, escaping] of [
        [4, this.longerThan(32)],
        [2, this.longerThan(16)],
        [1, this.longerThan(8)],
      ] as const) {
        // An escape costs the reader more than its bytes: only rare ones are worth it.
        if (narrower < full && escaping <= count >> 4 && narrower * count + 8 * escaping < size) {
          width = narrower;
          size = narrower * count + 8 * escaping;
          escapes = escaping;
        }
      }
    }
    const planes =
      this.compact &&
      (width === 2 || width === 4) &&
      (transform === Transform.DELTA || transform === Transform.SHAPE_DELTA);
    return column(
      id,
      width,
      transform,
      base,
      packed(low, high, count, width, escapes, planes),
      escapes,
      planes,
    );
  }

  /** How many of the numbers counted last would escape from so many bits. */
  private longerThan(bits: number): number {
    let count = this.lengths[0] as number;
    for (let length = bits + 1; length <= LONGER; length++) {
      count += this.lengths[length] as number;
    }
    return count;
  }
}

function column(
  id: number,
  width: number,
  transform: number,
  base: bigint,
  data: Uint8Array,
  escapes = 0,
  planes = false,
): EncodedColumn {
  return { id, width, transform, base, codec: Codec.NONE, rawSize: data.length, data, escapes, planes };
}

function significantBytes(low: number, high: number): number {
  return high !== 0 ? 8 - (Math.clz32(high) >>> 3) : 4 - (Math.clz32(low) >>> 3);
}

function bytesOf(values: Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function packed(
  low: Uint32Array,
  high: Uint32Array,
  count: number,
  width: number,
  escapes: number,
  planes: boolean,
): Uint8Array {
  const data = new Uint8Array(width * count + 8 * escapes);
  if (width === 8) {
    const words = new Uint32Array(data.buffer);
    for (let n = 0; n < count; n++) {
      words[2 * n] = low[n] as number;
      words[2 * n + 1] = high[n] as number;
    }
    return data;
  }
  const marker = width === 4 ? 0xffffffff : width === 2 ? 0xffff : 0xff;
  if (escapes > 0) {
    const view = new DataView(data.buffer);
    let at = width * count;
    for (let n = 0; n < count; n++) {
      const nowLow = low[n] as number;
      const nowHigh = high[n] as number;
      if (nowHigh !== 0 || nowLow >= marker) {
        view.setUint32(at, nowLow, true);
        view.setUint32(at + 4, nowHigh, true);
        at += 8;
        low[n] = marker;
      }
    }
  }
  if (planes) {
    for (let plane = 0; plane < width; plane++) {
      shifted(low, 8 * plane, data.subarray(plane * count, (plane + 1) * count));
    }
    return data;
  }
  // TypedArray.set narrows at the speed of a copy.
  const numbers = low.subarray(0, count);
  switch (width) {
    case 4:
      new Uint32Array(data.buffer, 0, count).set(numbers);
      break;
    case 2:
      new Uint16Array(data.buffer, 0, count).set(numbers);
      break;
    default:
      data.set(numbers);
  }
  return data;
}

function shifted(numbers: Uint32Array, bits: number, out: Uint8Array): void {
  for (let n = 0; n < out.length; n++) {
    out[n] = (numbers[n] as number) >>> bits;
  }
}
