// SPDX-License-Identifier: Apache-2.0
/** What the rules find in the trace that is exported. */
import { openTrace, type Trace } from '../../traces/reader.js';
import { check } from '../check/check.js';
import type { Finding } from '../check/finding.js';

export function findingsOf(source: string | number): readonly Finding[] {
  const trace = openTrace(source);
  try {
    return check(trace).verdicts.flatMap(({ findings }) => findings);
  } finally {
    trace.close();
  }
}

export interface PlacedFinding {
  readonly finding: Finding;
  /** Number of the first event of its evidence; -1: it has none, and is placed where the trace begins. */
  readonly event: number;
  /** When that was entered, ns since the start of the recording. */
  readonly time: number;
}

/** In the order of the events. */
export function placed(trace: Trace, findings: readonly Finding[]): readonly PlacedFinding[] {
  return findings
    .map((finding) => ({ finding, event: finding.evidence[0]?.event ?? -1 }))
    .sort((a, b) => a.event - b.event)
    .map(({ finding, event }) => ({
      finding,
      event,
      time: Math.round(trace.event(Math.max(0, event))?.time ?? 0),
    }));
}
