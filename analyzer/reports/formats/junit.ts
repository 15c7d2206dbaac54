// SPDX-License-Identifier: Apache-2.0
/**
 * JUnit's XML as Jenkins and GitLab read it: a suite for each trace, a case for each rule. What the verdict counts is
 * a failure; what could not be decided is skipped, with the reason.
 */
import { escapeText } from '../../../abi/text.js';
import { timeText } from '../../../session/describe/time.js';
import { SEVERITIES } from '../../check/rule.js';
import type { ComplianceReport, ReportedFinding, ReportedRule, TraceReport } from '../model.js';

export function renderJunit(report: ComplianceReport): string {
  const failing = report.fail_on === 'never' ? SEVERITIES.length : SEVERITIES.indexOf(report.fail_on);
  const suites = report.reports.map((trace) => suite(trace, failing));
  const total = (of: (suite: Suite) => number) => suites.reduce((sum, one) => sum + of(one), 0);
  // Jenkins' schema (xunit-plugin, junit-10.xsd) has no sum of what was skipped.
  const counts = `tests="${total(({ tests }) => tests)}" failures="${total(({ failures }) => failures)}" errors="0"`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="vfiotape check" ${counts} time="0">
${suites.map(({ xml }) => xml).join('\n')}
</testsuites>
`;
}

interface Suite {
  readonly tests: number;
  readonly failures: number;
  readonly xml: string;
}

function suite({ trace, rules, findings }: TraceReport, failing: number): Suite {
  const applying = rules.filter(({ status }) => status !== 'not applicable' && status !== 'off');
  let failures = 0;
  let skipped = 0;
  const cases = applying.map((rule) => {
    const own = findings.filter((finding) => finding.rule === rule.id && finding.state === 'new');
    const counted = own.filter(({ severity }) => SEVERITIES.indexOf(severity) >= failing);
    if (counted.length > 0) failures++;
    else if (isSkipped(rule)) skipped++;
    return testcase(trace.file, rule, own, counted);
  });
  const when = new Date(Number(BigInt(trace.recorded_at_ns) / 1_000_000n));
  const stamp = Number.isNaN(when.getTime()) ? '1970-01-01T00:00:00' : when.toISOString().slice(0, 19);
  const counts = `tests="${applying.length}" failures="${failures}" errors="0" skipped="${skipped}"`;
  return {
    tests: applying.length,
    failures,
    xml: `  <testsuite name="${attribute(trace.file)}" ${counts} timestamp="${stamp}" hostname="${attribute(trace.host)}" time="${(trace.duration_ns / 1e9).toFixed(6)}">
${cases.join('\n')}
  </testsuite>`,
  };
}

function isSkipped({ status }: ReportedRule): boolean {
  return status === 'unknown' || status === 'undecidable';
}

function testcase(
  file: string,
  rule: ReportedRule,
  findings: readonly ReportedFinding[],
  counted: readonly ReportedFinding[],
): string {
  const head = `    <testcase classname="${attribute(file)}" name="${attribute(`${rule.id} ${rule.title}`)}" time="0"`;
  const inner: string[] = [];
  const [first] = counted;
  if (first !== undefined) {
    const text = counted.map(findingText).join('\n\n');
    inner.push(
      `      <failure type="${first.severity}" message="${attribute(first.message)}">${content(text)}</failure>`,
    );
  } else if (isSkipped(rule)) {
    inner.push(`      <skipped message="${attribute(rule.reasons.join('; '))}"/>`);
  }
  const rest = findings.filter((finding) => !counted.includes(finding));
  if (rest.length > 0)
    inner.push(`      <system-out>${content(rest.map(findingText).join('\n\n'))}</system-out>`);
  return inner.length === 0 ? `${head}/>` : `${head}>\n${inner.join('\n')}\n    </testcase>`;
}

function findingText({
  severity,
  object,
  bdf,
  message,
  count,
  evidence,
  compliant,
}: ReportedFinding): string {
  const where = [object, bdf].filter((text) => text !== '').join(' ');
  return [
    `${severity}: ${where}: ${message}${count === 1 ? '' : ` (${count} times)`}`,
    ...evidence.map(
      ({ event, time_ns, text, note }) => `${event}  ${timeText(time_ns)}  ${text}\n  ^ ${note}`,
    ),
    `do: ${compliant}`,
  ].join('\n');
}

/** XML 1.0 §2.2: control characters can't be written at all, not even as references; nor can half a pair, U+FFFE and U+FFFF. */
function printable(text: string): string {
  return text
    .split('\n')
    .map(escapeText)
    .join('\n')
    .replace(/[\ufffe\uffff]/g, '\ufffd');
}

function content(text: string): string {
  return printable(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

function attribute(text: string): string {
  return content(text)
    .replace(/"/g, '&quot;')
    .replace(/[\t\n\r]/g, ' ');
}
