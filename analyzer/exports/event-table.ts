// SPDX-License-Identifier: Apache-2.0
/** The columns of the table of events, the same in Parquet, CSV and SQL; docs/parquet.md says what is in them. */

export type ColumnType =
  /** From a dictionary. */
  | 'text'
  | 'int32'
  | 'int64'
  /** Parquet's UINT_64. */
  | 'uint64';

export interface TableColumn {
  readonly name: string;
  readonly type: ColumnType;
}

export const EVENT_COLUMNS = [
  { name: 'event', type: 'int64' },
  { name: 'time_ns', type: 'int64' },
  { name: 'duration_ns', type: 'int64' },
  { name: 'kind', type: 'text' },
  { name: 'operation', type: 'text' },
  { name: 'pid', type: 'int32' },
  { name: 'tid', type: 'int32' },
  { name: 'thread', type: 'text' },
  { name: 'object', type: 'text' },
  { name: 'device', type: 'text' },
  { name: 'fd', type: 'int32' },
  { name: 'region', type: 'text' },
  { name: 'offset', type: 'int64' },
  { name: 'register', type: 'text' },
  { name: 'width', type: 'int32' },
  { name: 'value', type: 'uint64' },
  { name: 'value_signed', type: 'int64' },
  { name: 'result', type: 'int64' },
  { name: 'errno', type: 'text' },
  { name: 'site', type: 'text' },
  { name: 'interrupt', type: 'text' },
  { name: 'caught', type: 'text' },
  { name: 'iova', type: 'int64' },
  { name: 'size', type: 'int64' },
] as const satisfies readonly TableColumn[];
