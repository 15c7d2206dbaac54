// SPDX-License-Identifier: Apache-2.0
import type { ComplianceReport } from '../model.js';

/** docs/check-json.md is the promise. */
export function renderJson(report: ComplianceReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
