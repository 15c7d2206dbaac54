// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../session/story/device-life.js';
import type { Evidence, Profile, Rule, Severity } from './rule.js';

/** One cause, one finding. */
export interface Finding {
  readonly rule: string;
  readonly severity: Severity;
  /** `device0`, `container0`; empty when it is about the whole session. */
  readonly object: string;
  /** The device's address, where there is one. */
  readonly bdf: string;
  readonly key: string;
  readonly message: string;
  /** How often it happened. */
  readonly count: number;
  /** Of the first times. */
  readonly evidence: readonly Evidence[];
  /** The same from run to run: rule, device and key; 16 hexadecimal digits. */
  readonly fingerprint: string;
}

/**
 * `fail`: a finding that is an error or a warning; `note`: notes only; `unknown`: it lacked an input; `not applicable`: the session has
 * nothing that it is about; `undecidable`: no recording can tell; `off`: the profile leaves it out.
 */
export type RuleStatus = 'fail' | 'note' | 'pass' | 'unknown' | 'not applicable' | 'undecidable' | 'off';

export interface RuleVerdict {
  readonly rule: Rule;
  readonly status: RuleStatus;
  /** Of unknown and undecidable. */
  readonly reasons: readonly string[];
  readonly findings: readonly Finding[];
  /** Findings that were counted only: there were too many different ones. */
  readonly suppressed: number;
}

export interface CheckResult {
  readonly profile: Profile;
  /** In the order of the catalogue. */
  readonly verdicts: readonly RuleVerdict[];
  /** Every open of a device, as the session left it. */
  readonly devices: readonly DeviceLife[];
}
