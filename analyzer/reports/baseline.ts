// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../abi/user-error.js';
import { parseJsonFile } from './json-file.js';

/** The fingerprints of an earlier `check --json`, whatever else is in it. */
export function parseBaseline(text: string, file: string): ReadonlySet<string> {
  const whole = parseJsonFile(text, file, '--baseline wants what check --json wrote');
  const fingerprints = new Set<string>();
  const reports = (whole as { reports?: unknown } | null)?.reports;
  if (!Array.isArray(reports)) throw new UserError(`${file} was not written by vfiotape check --json`);
  for (const report of reports as readonly unknown[]) {
    const findings = (report as { findings?: unknown } | null)?.findings;
    if (!Array.isArray(findings)) throw new UserError(`${file} was not written by vfiotape check --json`);
    for (const finding of findings as readonly unknown[]) {
      const fingerprint = (finding as { fingerprint?: unknown } | null)?.fingerprint;
      if (typeof fingerprint !== 'string') throw new UserError(`${file}: a finding without a fingerprint`);
      fingerprints.add(fingerprint);
    }
  }
  return fingerprints;
}
