// SPDX-License-Identifier: Apache-2.0
import { isDevice } from '../../abi/object-kinds.js';
import { describeEvents } from '../../session/describe/lines.js';
import { ObjectNames } from '../../session/object-names.js';
import type { Overview } from '../../session/overview/overview.js';
import type { CallSites } from '../../session/symbols/call-sites.js';
import type { Trace } from '../../traces/reader.js';
import type { CheckResult, Finding } from '../check/finding.js';
import { type Rule, SEVERITIES, type Severity } from '../check/rule.js';
import type {
  ComplianceReport,
  ReportedDevice,
  ReportedEvent,
  ReportedFinding,
  SeverityCounts,
  TraceReport,
} from './model.js';
import type { Waivers } from './waivers.js';

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
      mmio: header.modes.mmio,
      gaps: overview.gaps,
    },
    profile: result.profile,
    devices: devicesOf(trace, result),
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

function devicesOf(trace: Trace, result: CheckResult): readonly ReportedDevice[] {
  const names = new ObjectNames(trace.definitions);
  const layout = result.verdicts.find(({ rule }) => rule.id === 'MSI-006');
  const devices: ReportedDevice[] = [];
  const seen = new Set<number>();
  for (const { id, kind, device } of trace.definitions.objects.values()) {
    if (!isDevice(kind) || seen.has(device)) continue;
    seen.add(device);
    const known = trace.definitions.devices.get(device);
    const bad = layout?.findings.some(({ bdf }) => bdf !== '' && bdf === known?.bdf) ?? false;
    devices.push({
      object: names.name(id),
      bdf: known?.bdf ?? '',
      vendor: known?.vendor ?? 0,
      device: known?.device ?? 0,
      class_code: known?.classCode ?? 0,
      kernel_driver: known?.driver ?? '',
      iommu_group: known?.iommuGroup ?? '',
      well_behaved: bad ? 'no' : layout?.status === 'pass' || layout?.status === 'note' ? 'yes' : 'unknown',
    });
  }
  return devices;
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
