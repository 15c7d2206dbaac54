// SPDX-License-Identifier: Apache-2.0
/** Parquet: docs/parquet.md has the columns, and how several traces make one data set. */
import { isDmaCall } from '../../session/groups/dma-arguments.js';
import { EVENT_COLUMNS } from './event-table.js';
import type { ExportFormat } from './format.js';
import { OutputFile } from './output.js';
import { type ColumnData, type DictionaryValue, ParquetFile } from './parquet-file.js';
import { type GroupText, Walk } from './walk.js';

const ROWS = 1 << 17;
/** The names of a row group, which each is a group of events. */
type Shared = Exclude<
  (typeof EVENT_COLUMNS)[number]['name'],
  'event' | 'time_ns' | 'duration_ns' | 'value' | 'value_signed' | 'iova' | 'size'
>;
const SHARED: Readonly<Record<Shared, (text: GroupText) => DictionaryValue>> = {
  kind: ({ kind }) => kind,
  operation: ({ operation }) => operation,
  pid: ({ pid }) => pid,
  tid: ({ tid }) => tid,
  thread: ({ thread }) => thread,
  object: ({ object }) => object,
  device: ({ device }) => device,
  fd: ({ fd }) => fd,
  region: ({ region }) => region,
  offset: ({ offset }) => BigInt.asIntN(64, offset),
  register: ({ register }) => register,
  width: ({ width }) => width,
  result: ({ result }) => result,
  errno: ({ errno }) => errno,
  site: ({ site }) => site,
  interrupt: ({ interrupt }) => interrupt,
  caught: ({ caught }) => caught,
};

/** One row group while it fills. */
class Rows {
  count = 0;
  readonly event = new BigInt64Array(ROWS);
  readonly time = new BigInt64Array(ROWS);
  readonly duration = new BigInt64Array(ROWS);
  readonly eventWords = new Uint32Array(this.event.buffer);
  readonly timeWords = new Uint32Array(this.time.buffer);
  readonly durationWords = new Uint32Array(this.duration.buffer);
  readonly value = new BigUint64Array(ROWS);
  /** Which of `texts` a row is. */
  readonly shared = new Uint32Array(ROWS);
  readonly texts: GroupText[] = [];
  readonly numbers = new Map<GroupText, number>();
  iova: BigInt64Array | undefined;
  size: BigInt64Array | undefined;

  /** Without a bigint: up to 2^53. */
  set(words: Uint32Array, row: number, value: number): void {
    words[2 * row] = value;
    words[2 * row + 1] = Math.floor(value / 0x1_0000_0000);
  }

  numberOf(text: GroupText): number {
    let number = this.numbers.get(text);
    if (number === undefined) {
      number = this.texts.push(text) - 1;
      this.numbers.set(text, number);
    }
    return number;
  }

  columns(): ReadonlyMap<string, ColumnData> {
    const { count } = this;
    const columns = new Map<string, ColumnData>();
    const plain = (name: string, values: BigInt64Array | BigUint64Array, bounded = false): void => {
      const used = values.subarray(0, count);
      columns.set(name, {
        encoding: 'plain',
        values: used,
        ...(bounded && { bounds: boundsOf(used) }),
      });
    };
    plain('event', this.event, true);
    plain('time_ns', this.time, true);
    plain('duration_ns', this.duration);
    plain('value', this.value);
    // The same bytes, and compressed once.
    columns.set('value_signed', columns.get('value') as ColumnData);
    for (const [name, read] of Object.entries(SHARED)) columns.set(name, this.#dictionary(read));
    for (const [name, values] of [
      ['iova', this.iova],
      ['size', this.size],
    ] as const) {
      if (values !== undefined) plain(name, values);
      else columns.set(name, { encoding: 'dictionary', dictionary: [0n], indexes: NO_INDEXES });
    }
    return columns;
  }

  #dictionary(read: (text: GroupText) => DictionaryValue): ColumnData {
    const numbers = new Map<DictionaryValue, number>();
    const table = Uint32Array.from(this.texts, (text) => {
      const value = read(text);
      let number = numbers.get(value);
      if (number === undefined) {
        number = numbers.size;
        numbers.set(value, number);
      }
      return number;
    });
    const indexes = new Uint32Array(this.count);
    const { shared } = this;
    if (numbers.size > 1)
      for (let row = 0; row < this.count; row++) indexes[row] = table[shared[row] as number] as number;
    return { encoding: 'dictionary', dictionary: [...numbers.keys()], indexes };
  }
}

const NO_INDEXES = new Uint32Array(ROWS);

function boundsOf(values: BigInt64Array | BigUint64Array): readonly [bigint, bigint] {
  let least = values[0] as bigint;
  let most = least;
  for (let n = 1; n < values.length; n++) {
    const value = values[n] as bigint;
    if (value < least) least = value;
    else if (value > most) most = value;
  }
  return [least, most];
}

export const parquet: ExportFormat = {
  extension: 'parquet',
  findings: false,
  async write({ trace, path, callSites, progress }) {
    const { command, host, recorder } = trace.header;
    const file = new ParquetFile(new OutputFile(path), EVENT_COLUMNS, {
      'vfiotape.schema': '1',
      'vfiotape.recorder': recorder,
      'vfiotape.command': JSON.stringify(command),
      'vfiotape.kernel': host.kernel,
      'vfiotape.recorded_at_ns': String(trace.clock.baseRealtimeNs),
    });
    const walk = new Walk(trace, callSites);
    const range = { iova: 0n, size: 0n };
    const full: Rows[] = [];
    let rows = new Rows();
    interface Made {
      readonly text: GroupText;
      readonly dma: boolean;
      rows: Rows | undefined;
      number: number;
    }
    const batches = walk.run<Made>(
      (text) => ({ text, dma: isDmaCall(text.operation), rows: undefined, number: 0 }),
      (made, batch, row) => {
        if (rows.count === ROWS) {
          full.push(rows);
          rows = new Rows();
        }
        if (made.rows !== rows) {
          made.rows = rows;
          made.number = rows.numberOf(made.text);
        }
        const at = rows.count++;
        rows.set(rows.eventWords, at, batch.firstEvent + row);
        rows.set(rows.timeWords, at, walk.time);
        rows.set(rows.durationWords, at, walk.duration);
        rows.value[at] = batch.value[row] as bigint;
        rows.shared[at] = made.number;
        if (made.dma && walk.dma(made.text.operation, batch, row, range)) {
          rows.iova ??= new BigInt64Array(ROWS);
          rows.size ??= new BigInt64Array(ROWS);
          rows.iova[at] = range.iova;
          rows.size[at] = range.size;
        }
      },
    );
    // The next batch is read while the last row group is compressed, but no more than one waits.
    let written: Promise<void> = Promise.resolve();
    for (const events of batches) {
      for (let group = full.shift(); group !== undefined; group = full.shift()) {
        await written;
        written = file.rowGroup(group.count, group.columns());
      }
      progress?.(events);
    }
    await written;
    if (rows.count > 0) await file.rowGroup(rows.count, rows.columns());
    file.close();
  },
};
