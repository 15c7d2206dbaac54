// SPDX-License-Identifier: Apache-2.0
import type { DeviceLife } from '../../session/story/device-life.js';
import type { Story } from '../../session/story/story.js';
import type { StoryWatch } from '../../session/story/watch.js';

export const SEVERITIES = ['note', 'warning', 'error'] as const;
export type Severity = (typeof SEVERITIES)[number];

/**
 * `driver`: a driver for its own device; `vmm`: a monitor that passes on what a guest does; `test`: a program that asks for errors
 * on purpose; `lyon2010`: the interface of 2010.
 */
export const PROFILES = ['driver', 'vmm', 'test', 'lyon2010'] as const;
export type Profile = (typeof PROFILES)[number];

/** One rule, one file: what a person reads of it, and how it is decided. */
export interface Rule {
  /** `MSI-003`: stable, it is in waivers and baselines. */
  readonly id: string;
  /** What a driver must do, in one line. */
  readonly title: string;
  readonly severity: Severity;
  /** Where a profile judges otherwise. */
  readonly profiles?: Readonly<Partial<Record<Profile, Severity | 'off'>>>;
  /** What the kernel does about it by itself: refuse with an errno, drop or alter in silence, or nothing. */
  readonly kernel: 'refuses' | 'alters' | 'allows';
  /** `proven` by the events alone, `inferred` with knowledge of the device, or `guessed` from a pattern. */
  readonly basis: 'proven' | 'inferred' | 'guessed';
  readonly why: string;
  /** Clauses, kernel functions, the mail of 2010. */
  readonly sources: readonly string[];
  /** How it is decided. */
  readonly decided: string;
  /** When it is wrong, or stays silent on purpose. */
  readonly wrongWhen: string;
  /** What a compliant driver does. */
  readonly compliant: string;
  /** What must have been recorded; a rule without its inputs answers unknown. `accesses`: loads and stores. */
  readonly needs?: readonly 'accesses'[];
  /** A function, or why it can't be decided from a recording. */
  readonly watch: ((check: RuleCheck) => RuleWatch) | string;
}

export interface Evidence {
  /** Number of the event. */
  readonly event: number;
  /** What it shows: `the write`, `bus mastering was switched on here`. */
  readonly note: string;
}

export interface Report {
  /**
   * What makes two reports the same finding beside the rule and the device: a register, an offset, a request. It must not hold
   * anything that changes from run to run (addresses, times, descriptors, event numbers).
   */
  readonly key: string;
  /** One sentence with the figures of this case. */
  readonly message: string;
  readonly device?: DeviceLife;
  /** What it is about when it is no device: a container, an iommufd. */
  readonly object?: number;
  /** The rule's by default. */
  readonly severity?: Severity;
  /** The event that it happened in first, then what led to it. */
  readonly evidence: readonly [Evidence, ...Evidence[]];
}

/** What a rule has to work with. */
export interface RuleCheck {
  readonly story: Story;
  readonly profile: Profile;
  /** There was something to judge: without a call of this the rule did not apply. */
  judged(): void;
  /** Something that it needs was not recorded: the answer is unknown, unless there is a finding. */
  unknown(reason: string): void;
  /** The same key again is one more of the same finding. */
  report(report: Report): void;
}

/** What a rule wants to be told of. */
export type RuleWatch = StoryWatch;
