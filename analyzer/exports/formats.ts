// SPDX-License-Identifier: Apache-2.0
import { chrome } from './chrome.js';
import { csv } from './csv.js';
import type { ExportFormat } from './format.js';
import { jsonl } from './jsonl.js';
import { parquet } from './parquet.js';
import { perfetto } from './perfetto.js';

export const EXPORT_FORMATS = { perfetto, chrome, parquet, csv, jsonl } as const satisfies Readonly<
  Record<string, ExportFormat>
>;
export type ExportFormatName = keyof typeof EXPORT_FORMATS;
export const EXPORT_FORMAT_NAMES = Object.keys(EXPORT_FORMATS) as readonly ExportFormatName[];
