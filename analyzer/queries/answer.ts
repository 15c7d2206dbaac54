// SPDX-License-Identifier: Apache-2.0
import { escapeText } from '../../abi/text.js';

export interface Answer {
  readonly columns: readonly string[];
  /** What DuckDB's JSON has: numbers of 64 bits are strings. */
  readonly rows: readonly (readonly unknown[])[];
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

export function asTable({ columns, rows }: Answer): string {
  const text = rows.map((row) => row.map((value) => escapeText(cellText(value))));
  const widths = columns.map((name, n) => Math.max(name.length, ...text.map((row) => (row[n] ?? '').length)));
  const numeric = columns.map((_, n) => text.every((row) => /^-?[\d.e+-]*$/.test(row[n] ?? '')));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, n) => (numeric[n] === true ? cell.padStart(widths[n] ?? 0) : cell.padEnd(widths[n] ?? 0)))
      .join('  ')
      .trimEnd();
  return `${[line(columns), line(widths.map((width) => '-'.repeat(width))), ...text.map(line)].join('\n')}\n`;
}

export function asCsv({ columns, rows }: Answer): string {
  const field = (value: unknown): string => {
    const text = cellText(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

export function asJsonLines({ columns, rows }: Answer): string {
  return rows
    .map((row) => `${JSON.stringify(Object.fromEntries(columns.map((name, n) => [name, row[n]])))}\n`)
    .join('');
}
