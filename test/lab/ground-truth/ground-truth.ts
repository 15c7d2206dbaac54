// SPDX-License-Identifier: Apache-2.0
import type { Trace } from '../../../traces/reader.js';
import { type AccessComparison, compareAccesses, describeAccessDifferences } from './compare-accesses.js';
import type { Window } from './device-log.js';
import { recordedAccesses } from './recorded-accesses.js';

/** A run's recording against what the devices saw. */
export interface GroundTruth {
  readonly comparison: AccessComparison;
  /** Lines in QEMU's log. */
  readonly lines: number;
  readonly msix: number;
  /** Empty: they are the same. */
  readonly trouble: string;
}

export function groundTruth(window: Window, trace: Trace): GroundTruth {
  const comparison = compareAccesses(window.accesses, recordedAccesses(trace));
  const problems = [...describeAccessDifferences(comparison)];
  if (comparison.matched === 0) problems.push('there was no access at all');
  if (comparison.unknown > 0) problems.push(`${comparison.unknown} of unknown value`);
  return {
    comparison,
    lines: window.accesses.length,
    msix: window.msix,
    trouble: problems.join('\n'),
  };
}

/** The table of docs/mmio-ground-truth.md. */
export function truthTable(rows: readonly { readonly name: string; readonly truth: GroundTruth }[]): string {
  return [
    "| driver | threads | loads | stores | by pread, pwrite | joined | QEMU's lines | matched | only in QEMU's | only in the trace | out of order | MSI-X, by the kernel |",
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...rows.map(({ name, truth }) => {
      const { comparison: c, lines, msix } = truth;
      const numbers = [c.threads, c.loads, c.stores, c.calls, c.joined, lines, c.matched];
      const wrong = [c.onlySeen.length, c.onlyRecorded.length, c.misordered.length];
      return `| ${[name, ...numbers, ...wrong, msix].join(' | ')} |`;
    }),
  ].join('\n');
}
