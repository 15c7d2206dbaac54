// SPDX-License-Identifier: Apache-2.0
import type { Finding } from '../check/finding.js';
import type { TableColumn } from './event-table.js';
import { OutputFile } from './output.js';
import { type ColumnData, type DictionaryValue, ParquetFile } from './parquet-file.js';

export const FINDING_COLUMNS = [
  { name: 'rule', type: 'text' },
  { name: 'severity', type: 'text' },
  { name: 'object', type: 'text' },
  { name: 'device', type: 'text' },
  { name: 'message', type: 'text' },
  { name: 'count', type: 'int64' },
  { name: 'event', type: 'int64' },
  { name: 'fingerprint', type: 'text' },
] as const satisfies readonly TableColumn[];

function held(finding: Finding, name: (typeof FINDING_COLUMNS)[number]['name']): DictionaryValue {
  switch (name) {
    case 'device':
      return finding.bdf;
    case 'event':
      return finding.evidence[0]?.event ?? -1;
    default:
      return finding[name];
  }
}

/** The findings of one trace as a Parquet file. */
export async function writeFindings(path: string, findings: readonly Finding[]): Promise<void> {
  const file = new ParquetFile(new OutputFile(path), FINDING_COLUMNS, { 'vfiotape.schema': '1' });
  const columns = new Map<string, ColumnData>();
  for (const { name } of FINDING_COLUMNS) {
    const dictionary = findings.map((finding) => held(finding, name));
    columns.set(name, {
      encoding: 'dictionary',
      dictionary,
      indexes: Uint32Array.from(findings, (_, n) => n),
    });
  }
  if (findings.length > 0) await file.rowGroup(findings.length, columns);
  file.close();
}
