// SPDX-License-Identifier: Apache-2.0
import type { Rule } from '../../check/rule.js';

/** What exceeds a limit is a finding like any other, so that every form of a report has it. */
export const BUDGET_RULE: Rule = {
  id: 'BUDGET',
  title: 'The session keeps the limits of its budget',
  severity: 'error',
  kernel: 'allows',
  basis: 'proven',
  why: 'Somebody set these limits for this driver.',
  sources: ['the file that --budget names (docs/budget.md)'],
  decided: 'A statistic of the trace is beyond its limit.',
  wrongWhen:
    'Another machine, or a busy one, is slower: a limit relative to a baseline of the same machine is steadier.',
  compliant: 'A session within its limits.',
  watch: 'decided from statistics, not from events',
};
