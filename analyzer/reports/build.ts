// SPDX-License-Identifier: Apache-2.0
import { kindName } from '../../session/describe/kinds.js';
import { describeEvents } from '../../session/describe/lines.js';
import { SiteNames } from '../../session/describe/site.js';
import { mmioWays } from '../../session/overview/mmio-ways.js';
import type { Overview } from '../../session/overview/overview.js';
import type { CallSites } from '../../session/symbols/call-sites.js';
import { EventKind } from '../../traces/model.js';
import type { Trace } from '../../traces/reader.js';
import type { CheckResult, Finding } from '../check/finding.js';
import { type Rule, SEVERITIES, type Severity } from '../check/rule.js';
import { reportDevices } from './devices.js';
import type {
  ComplianceReport,
  ReportedEvent,
  ReportedFinding,
  SeverityCounts,
  TraceReport,
} from './model.js';
import type { Waivers } from './waivers.js';

/** Of one way in which instructions were caught. */
const PLACES_SHOWN = 24;

export interface Judgement {
  readonly waivers: Waivers | undefined;
  /** Fingerprints of findings that were there before. */
  readonly baseline: ReadonlySet<string> | undefined;
}

export function reportTrace(
  trace: Trace,
  overview: Overview,
  result: CheckResult,
  { waivers, baseline }: Judgement,
  callSites?: CallSites,
): TraceReport {
  const { header, clock } = trace;
  const names = new SiteNames(trace.definitions, callSites);
  const found = result.verdicts.flatMap(({ rule, findings }) =>
    findings.map((finding) => ({ rule, finding })),
  );
  const lines = describeEvents(
    trace,
    found.flatMap(({ finding }) => finding.evidence.map(({ event }) => event)),
    callSites,
  );
  const evidence = (finding: Finding): readonly ReportedEvent[] =>
    finding.evidence.map(({ event, note }) => {
      const line = lines.get(event);
      return {
        event,
        note,
        time_ns: Math.round(line?.time ?? 0),
        text: line?.text ?? '',
        ...(line?.site !== undefined && { site: line.site }),
        ...(line?.source !== undefined && { source: line.source }),
      };
    });
  const reported = ({
    rule,
    finding,
  }: {
    readonly rule: Rule;
    readonly finding: Finding;
  }): ReportedFinding => {
    const waived = waivers?.reasonFor(finding);
    const known = baseline?.has(finding.fingerprint) ?? false;
    const { severity, object, bdf, message, count, fingerprint } = finding;
    return {
      rule: rule.id,
      title: rule.title,
      severity,
      object,
      bdf,
      message,
      compliant: rule.compliant,
      count,
      fingerprint,
      evidence: evidence(finding),
      state: waived !== undefined ? 'waived' : known ? 'known' : 'new',
      ...(waived !== undefined && { waived_because: waived }),
    };
  };
  const findings = found
    .map(reported)
    .sort((a, b) => SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity));
  return {
    trace: {
      file: trace.name,
      command: header.command,
      recorder: header.recorder,
      recorded_at_ns: String(clock.baseRealtimeNs),
      duration_ns: Math.round(overview.durationNs),
      events: overview.events,
      host: header.host.hostname,
      kernel: header.host.kernel,
      backend: header.modes.backend,
      dialect: header.modes.dialect,
      mmio: header.modes.mmio,
      dma: header.modes.dma,
      when_full: header.modes.whenFull,
      watch: header.modes.watch,
      events_by_kind: Object.fromEntries(
        [...overview.counts].map(([kind, count]) => [kindName(kind), count]),
      ),
      mmio_sites: mmioWays(trace.definitions.mmioSites.values()).map(({ tier, reason, count, sites }) => ({
        how: tier,
        reason,
        instructions: count,
        places: sites.slice(0, PLACES_SHOWN).map((site) => names.name(site, EventKind.SITE) ?? ''),
      })),
      gaps: overview.gaps,
    },
    profile: result.profile,
    devices: reportDevices(trace, result),
    counts: countNew(findings),
    waived: findings.filter(({ state }) => state === 'waived').length,
    known: findings.filter(({ state }) => state === 'known').length,
    rules: result.verdicts.map(({ rule, status, reasons, suppressed }) => ({
      id: rule.id,
      title: rule.title,
      severity: rule.severity,
      status,
      reasons,
      suppressed,
    })),
    findings,
  };
}

function countNew(findings: readonly ReportedFinding[]): SeverityCounts {
  const counts = { error: 0, warning: 0, note: 0 };
  for (const { severity, state } of findings) if (state === 'new') counts[severity]++;
  return counts;
}

/** `failOn`: the mildest severity that fails. */
export function conclude(
  reports: readonly TraceReport[],
  failOn: Severity | 'never',
  tool: string,
  remarks: readonly string[],
): ComplianceReport {
  const failing = failOn === 'never' ? [] : SEVERITIES.slice(SEVERITIES.indexOf(failOn));
  const fails = reports.some(({ counts }) => failing.some((severity) => counts[severity] > 0));
  return { schema: 1, tool, fail_on: failOn, verdict: fails ? 'fail' : 'pass', reports, remarks };
}
