// SPDX-License-Identifier: Apache-2.0
/**
 * The library behind the command line:
 *
 *     import { check, openTrace, replay } from 'vfiotape';
 *
 *     const trace = openTrace('my.vtape');
 *     for (const { rule, findings } of check(trace).verdicts)
 *       for (const { severity, message } of findings) console.log(rule.id, severity, message);
 *     console.log((await replay(trace, 'nvme')).counts);
 *     trace.close();
 *
 * What is wrong with the input is a UserError, or a TraceError of a file that is no trace. 64-bit values are bigints.
 */
export { UserError } from './abi/user-error.js';
export { type CheckOptions, check } from './analyzer/check/check.js';
export type { CheckResult, Finding, RuleStatus, RuleVerdict } from './analyzer/check/finding.js';
export type { Evidence, Profile, Rule, Severity } from './analyzer/check/rule.js';
export { type DiffResult, diffTraces } from './analyzer/diff/diff.js';
export type { Statistics } from './analyzer/performance/model.js';
export { statistics } from './analyzer/performance/statistics.js';
export { findRule, RULES } from './analyzer/rules/rules.js';
export type { ReplayReport } from './replayer/replay/divergence.js';
export { Masks, parseMasks } from './replayer/replay/masks.js';
export { replay, type SimulatedReplayOptions } from './replayer/replay/simulated-replay.js';
export { Story, type Watcher } from './session/story/story.js';
export { TraceError } from './traces/errors.js';
export * from './traces/model.js';
export { type BatchQuery, type EventQuery, openTrace, type Trace } from './traces/reader.js';
