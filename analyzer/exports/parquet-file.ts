// SPDX-License-Identifier: Apache-2.0
/**
 * Writes flat Parquet files from typed arrays: pages are put together here, since values that many rows share are known beforehand and need no
 * search; page headers and the footer are hyparquet-writer's. All columns are REQUIRED. github.com/apache/parquet-format: Encodings.md.
 */

import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { ColumnChunk, FileMetaData, RowGroup, SchemaElement, Statistics } from 'hyparquet';
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js';
import { writePageHeader } from 'hyparquet-writer/src/datapage.js';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import type { ColumnType, TableColumn } from './event-table.js';
import type { OutputFile } from './output.js';

const compress = promisify<Uint8Array, { level: number }, Buffer>(gzip);
const MAGIC = new TextEncoder().encode('PAR1');

export type DictionaryValue = string | number | bigint;

export type ColumnData =
  | {
      readonly encoding: 'dictionary';
      readonly dictionary: readonly DictionaryValue[];
      /** Into the dictionary, one a row. */
      readonly indexes: Uint32Array;
    }
  | {
      readonly encoding: 'plain';
      readonly values: BigInt64Array | BigUint64Array;
      /** Smallest and largest, for readers that skip by them. */
      readonly bounds?: readonly [least: bigint, most: bigint];
    };

interface Pages {
  readonly bytes: readonly Uint8Array[];
  readonly dictionaryBytes: number;
  readonly uncompressed: number;
  readonly encodings: readonly ('PLAIN' | 'RLE_DICTIONARY')[];
  readonly statistics: Statistics | undefined;
}

function schemaElement({ name, type }: TableColumn): SchemaElement {
  const base = { name, repetition_type: 'REQUIRED' } as const;
  switch (type) {
    case 'text':
      return { ...base, type: 'BYTE_ARRAY', converted_type: 'UTF8' };
    case 'int32':
      return { ...base, type: 'INT32' };
    case 'int64':
      return { ...base, type: 'INT64' };
    case 'uint64':
      return { ...base, type: 'INT64', converted_type: 'UINT_64' };
  }
}

export class ParquetFile {
  readonly #file: OutputFile;
  readonly #columns: readonly TableColumn[];
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #groups: RowGroup[] = [];
  #rows = 0;

  constructor(file: OutputFile, columns: readonly TableColumn[], metadata: Readonly<Record<string, string>>) {
    this.#file = file;
    this.#columns = columns;
    this.#metadata = metadata;
    file.bytes(MAGIC);
  }

  /** `data`: by the names of the columns. Compression runs on other cores meanwhile. */
  async rowGroup(rows: number, data: ReadonlyMap<string, ColumnData>): Promise<void> {
    const pages = new Map<ColumnData, Promise<Pages>>();
    const encoded = await Promise.all(
      this.#columns.map(({ name, type }) => {
        const column = data.get(name) as ColumnData;
        const held = column.encoding === 'plain' ? pages.get(column) : undefined;
        const made = held ?? pagesOf(type, rows, column);
        pages.set(column, made);
        return made;
      }),
    );
    const chunks: ColumnChunk[] = this.#columns.map((column, n) =>
      this.#chunk(column, rows, encoded[n] as Pages),
    );
    const size = encoded.reduce((sum, { uncompressed }) => sum + uncompressed, 0);
    this.#groups.push({ columns: chunks, total_byte_size: BigInt(size), num_rows: BigInt(rows) });
    this.#rows += rows;
  }

  close(): void {
    const metadata: FileMetaData = {
      version: 2,
      created_by: 'vfiotape',
      schema: [{ name: 'events', num_children: this.#columns.length }, ...this.#columns.map(schemaElement)],
      num_rows: BigInt(this.#rows),
      row_groups: this.#groups,
      key_value_metadata: Object.entries(this.#metadata).map(([key, value]) => ({ key, value })),
      metadata_length: 0,
    };
    const writer = new ByteWriter();
    // Appends the length of the footer, too.
    writeMetadata(writer, metadata);
    this.#file.bytes(writer.getBytes());
    this.#file.bytes(MAGIC);
    this.#file.close();
  }

  #chunk({ name, type }: TableColumn, rows: number, pages: Pages): ColumnChunk {
    const start = this.#file.size;
    for (const bytes of pages.bytes) this.#file.bytes(bytes);
    return {
      file_offset: BigInt(start),
      meta_data: {
        type: type === 'text' ? 'BYTE_ARRAY' : type === 'int32' ? 'INT32' : 'INT64',
        encodings: [...pages.encodings],
        path_in_schema: [name],
        codec: 'GZIP',
        num_values: BigInt(rows),
        total_uncompressed_size: BigInt(pages.uncompressed),
        total_compressed_size: BigInt(this.#file.size - start),
        data_page_offset: BigInt(start + pages.dictionaryBytes),
        ...(pages.dictionaryBytes > 0 && { dictionary_page_offset: BigInt(start) }),
        ...(pages.statistics !== undefined && { statistics: pages.statistics }),
      },
    };
  }
}

async function pagesOf(type: ColumnType, rows: number, data: ColumnData): Promise<Pages> {
  if (data.encoding === 'plain') {
    const { values, bounds } = data;
    const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const page = await dataPage(raw, rows, 'PLAIN');
    return {
      ...page,
      dictionaryBytes: 0,
      encodings: ['PLAIN'],
      statistics:
        bounds === undefined ? undefined : { min_value: bounds[0], max_value: bounds[1], null_count: 0n },
    };
  }
  const raw = dictionaryBytes(type, data.dictionary);
  const body = await compress(raw, { level: 1 });
  const header = new ByteWriter();
  writePageHeader(header, {
    type: 'DICTIONARY_PAGE',
    uncompressed_page_size: raw.length,
    compressed_page_size: body.length,
    dictionary_page_header: { num_values: data.dictionary.length, encoding: 'PLAIN' },
  });
  const page = await dataPage(indexBytes(data.indexes, rows, data.dictionary.length), rows, 'RLE_DICTIONARY');
  return {
    bytes: [header.getBytes(), body, ...page.bytes],
    dictionaryBytes: header.getBytes().length + body.length,
    uncompressed: header.getBytes().length + raw.length + page.uncompressed,
    encodings: ['PLAIN', 'RLE_DICTIONARY'],
    statistics: undefined,
  };
}

async function dataPage(
  raw: Uint8Array,
  rows: number,
  encoding: 'PLAIN' | 'RLE_DICTIONARY',
): Promise<{ readonly bytes: readonly Uint8Array[]; readonly uncompressed: number }> {
  const body = await compress(raw, { level: 1 });
  const header = new ByteWriter();
  writePageHeader(header, {
    type: 'DATA_PAGE',
    uncompressed_page_size: raw.length,
    compressed_page_size: body.length,
    // Columns without nulls have no levels, but the format wants their encoding named.
    data_page_header: {
      num_values: rows,
      encoding,
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  });
  return { bytes: [header.getBytes(), body], uncompressed: header.getBytes().length + raw.length };
}

/** PLAIN. */
function dictionaryBytes(type: ColumnType, dictionary: readonly DictionaryValue[]): Uint8Array {
  switch (type) {
    case 'text': {
      const encoded = dictionary.map((value) => new TextEncoder().encode(String(value)));
      const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + 4 + length, 0));
      const view = new DataView(bytes.buffer);
      let at = 0;
      for (const one of encoded) {
        view.setUint32(at, one.length, true);
        bytes.set(one, at + 4);
        at += 4 + one.length;
      }
      return bytes;
    }
    case 'int32':
      return new Uint8Array(Int32Array.from(dictionary, Number).buffer);
    case 'int64':
    case 'uint64':
      return new Uint8Array(
        BigInt64Array.from(dictionary, (value) => BigInt.asIntN(64, BigInt(value))).buffer,
      );
  }
}

/** The RLE and bit-packed hybrid, with whole bytes for an index: deflate finds the rest. */
function indexBytes(indexes: Uint32Array, rows: number, size: number): Uint8Array {
  const width = size <= 1 << 8 ? 1 : size <= 1 << 16 ? 2 : 4;
  if (size === 1) return Uint8Array.from([8, ...varint(rows * 2), 0]);
  const groups = Math.ceil(rows / 8);
  const head = [8 * width, ...varint(groups * 2 + 1)];
  const packed =
    width === 1
      ? new Uint8Array(groups * 8)
      : width === 2
        ? new Uint16Array(groups * 8)
        : new Uint32Array(groups * 8);
  packed.set(indexes.subarray(0, rows));
  const bytes = new Uint8Array(head.length + packed.byteLength);
  bytes.set(head);
  bytes.set(new Uint8Array(packed.buffer), head.length);
  return bytes;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}
