// SPDX-License-Identifier: Apache-2.0
/** Holds one session against the rules, in one pass. */
import { createHash } from 'node:crypto';
import { Story } from '../../session/story/story.js';
import { followAll, type StoryWatch } from '../../session/story/watch.js';
import type { Trace } from '../../traces/reader.js';
import { RULES } from '../rules/rules.js';
import type { CheckResult, Finding, RuleStatus, RuleVerdict } from './finding.js';
import { detectProfile } from './profile.js';
import {
  type Evidence,
  type Profile,
  type Report,
  type Rule,
  type RuleCheck,
  type RuleWatch,
  SEVERITIES,
  type Severity,
} from './rule.js';

export interface CheckOptions {
  /** Detected when it is not given. */
  readonly profile?: Profile;
  /** All by default. */
  readonly rules?: readonly Rule[];
  /** Others who follow the session in the same pass. */
  readonly alongside?: (story: Story) => readonly StoryWatch[];
}

/** So many different findings of one rule are told apart. */
const FINDINGS_MAX = 200;
/** Evidence is kept of so many occurrences of one finding. */
const OCCURRENCES_SHOWN = 3;

export function check(trace: Trace, options: CheckOptions = {}): CheckResult {
  const profile = options.profile ?? detectProfile(trace.definitions);
  const story = new Story(trace);
  const runs = (options.rules ?? RULES).map((rule) => new RuleRun(rule, story, profile));
  const watches = runs.flatMap(({ watch }) => (watch === undefined ? [] : [watch]));
  let lost = false;
  const noticesLosses: StoryWatch = {
    on: {
      lost: () => {
        lost = true;
      },
    },
  };
  followAll(story, [noticesLosses, ...watches, ...(options.alongside?.(story) ?? [])]);
  const doubts = missingInputs(trace, story, lost);
  return {
    profile,
    verdicts: runs.map((run) => run.verdict(doubts)),
    devices: [...story.devices.values()],
  };
}

interface Doubts {
  /** Why no rule may say that it passed. */
  readonly session: readonly string[];
  /** Why those that need loads and stores may not. */
  readonly accesses: readonly string[];
}

function missingInputs(trace: Trace, story: Story, lost: boolean): Doubts {
  const session: string[] = [];
  const { summary } = trace;
  if (summary === undefined) session.push('the recording was never sealed: its end is missing');
  else {
    if (summary.droppedEvents > 0) session.push('its oldest events were given up for --max-size');
    if (summary.stoppedBy === 'duration' || summary.stoppedBy === 'max-size')
      session.push('the recording was stopped before the driver ended');
    if (summary.stoppedBy === 'trim') session.push('it is a window of a longer recording');
  }
  if (lost || (summary?.losses.length ?? 0) > 0) session.push('events were lost');
  if (trace.damages.length > 0) session.push('a part of the file could not be read');
  for (const life of story.devices.values()) {
    if (life.fromStart) continue;
    session.push('a device was open before the recorder could see it');
    break;
  }
  const accesses =
    trace.header.modes.mmio === 'off' ? ['loads and stores were not recorded (--mmio off)'] : [];
  return { session, accesses };
}

interface Entry {
  readonly report: Report;
  readonly severity: Severity;
  readonly object: string;
  readonly bdf: string;
  readonly evidence: Evidence[];
  count: number;
}

class RuleRun implements RuleCheck {
  readonly rule: Rule;
  readonly story: Story;
  readonly profile: Profile;
  readonly watch: RuleWatch | undefined;
  readonly #limit: Severity | undefined;
  readonly #off: boolean;
  readonly #entries = new Map<string, Entry>();
  readonly #reasons = new Set<string>();
  #suppressed = 0;
  #judged = false;

  constructor(rule: Rule, story: Story, profile: Profile) {
    this.rule = rule;
    this.story = story;
    this.profile = profile;
    const override = rule.profiles?.[profile];
    this.#off = override === 'off';
    this.#limit = override === 'off' ? undefined : override;
    this.watch = this.#off || typeof rule.watch === 'string' ? undefined : rule.watch(this);
  }

  judged(): void {
    this.#judged = true;
  }

  unknown(reason: string): void {
    this.#reasons.add(reason);
  }

  report(report: Report): void {
    this.#judged = true;
    const object = report.device?.id ?? report.object ?? 0;
    const severity = this.#severity(report);
    const { names } = this.story.session;
    const bdf = names.device(object)?.bdf ?? '';
    // A device that is opened again is the same device.
    const key = `${bdf === '' ? object : bdf} ${severity} ${report.key}`;
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.count++;
      if (known.count <= OCCURRENCES_SHOWN) known.evidence.push(...report.evidence);
      return;
    }
    if (this.#entries.size >= FINDINGS_MAX) {
      this.#suppressed++;
      return;
    }
    this.#entries.set(key, {
      report,
      severity,
      object: object === 0 ? '' : names.name(object),
      bdf,
      evidence: [...report.evidence],
      count: 1,
    });
  }

  /** A profile that judges more mildly caps what the rule says; one that is stricter raises what it does not say. */
  #severity(report: Report): Severity {
    const limit = this.#limit;
    const own = report.severity ?? limit ?? this.rule.severity;
    if (limit === undefined || rank(limit) >= rank(this.rule.severity)) return own;
    return rank(own) > rank(limit) ? limit : own;
  }

  verdict(doubts: Doubts): RuleVerdict {
    const { rule } = this;
    const findings = [...this.#entries.values()].map((entry) => this.#finding(entry));
    const reasons =
      typeof rule.watch === 'string'
        ? [rule.watch]
        : [...this.#reasons, ...(rule.needs?.includes('accesses') ? doubts.accesses : [])];
    const status = this.#status(findings, reasons, doubts);
    const shown = status === 'unknown' && reasons.length === 0 ? doubts.session : reasons;
    const told = status === 'unknown' || status === 'undecidable' ? shown : [];
    return { rule, status, reasons: told, findings, suppressed: this.#suppressed };
  }

  #status(findings: readonly Finding[], reasons: readonly string[], doubts: Doubts): RuleStatus {
    if (this.#off) return 'off';
    if (typeof this.rule.watch === 'string') return 'undecidable';
    if (findings.some(({ severity }) => severity !== 'note')) return 'fail';
    if (reasons.length > 0) return 'unknown';
    if (findings.length > 0) return 'note';
    if (doubts.session.length > 0) return 'unknown';
    return this.#judged ? 'pass' : 'not applicable';
  }

  #finding({ report, severity, object, bdf, evidence, count }: Entry): Finding {
    const { id } = this.rule;
    const { key, message } = report;
    const fingerprint = createHash('sha256')
      .update([id, bdf === '' ? object : bdf, key].join('\0'))
      .digest('hex')
      .slice(0, 16);
    return { rule: id, severity, object, bdf, key, message, count, evidence, fingerprint };
  }
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}
