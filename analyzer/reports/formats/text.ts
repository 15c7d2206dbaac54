// SPDX-License-Identifier: Apache-2.0
/** For a terminal: the verdict, then the findings with what was seen, then what could not be decided. */
import { countText, escapeText } from '../../../abi/text.js';
import { durationText, timeText } from '../../../session/describe/time.js';
import type { ComplianceReport, ReportedFinding, ReportedRule, TraceReport } from '../model.js';

const TIME_WIDTH = 14;

export function renderText(report: ComplianceReport): string {
  const blocks = report.reports.map(traceText);
  const remarks = report.remarks.map((remark) => `note: ${escapeText(remark)}`);
  const limit = report.fail_on === 'never' ? 'nothing fails' : `${report.fail_on}s and worse fail`;
  const verdict = `${report.verdict.toUpperCase()}  (${limit})`;
  return `${[...blocks, ...(remarks.length === 0 ? [] : [remarks.join('\n')]), verdict].join('\n\n')}\n`;
}

export function summaryText({ counts, waived, known }: TraceReport): string {
  const parts = [
    countText(counts.error, 'error'),
    countText(counts.warning, 'warning'),
    countText(counts.note, 'note'),
    ...(known > 0 ? [`${known} known before`] : []),
    ...(waived > 0 ? [`${waived} waived`] : []),
  ];
  return parts.join(', ');
}

/** `61 rules passed, 4 unknown, 20 not applicable`. */
export function rulesText(rules: readonly ReportedRule[]): string {
  const count = (status: ReportedRule['status']) => rules.filter((rule) => rule.status === status).length;
  const parts = [
    `${countText(count('pass'), 'rule')} passed`,
    `${count('fail')} failed`,
    ...(count('note') > 0 ? [`${count('note')} with notes`] : []),
    `${count('unknown')} unknown`,
    `${count('not applicable')} not applicable`,
    ...(count('undecidable') > 0 ? [`${count('undecidable')} not decidable`] : []),
    ...(count('off') > 0 ? [`${count('off')} off in this profile`] : []),
  ];
  return parts.join(', ');
}

function traceText(report: TraceReport): string {
  const { trace, profile, devices } = report;
  const lines = [
    `${escapeText(trace.file)}: ${summaryText(report)}`,
    `  ${trace.events.toLocaleString('en-US')} events in ${durationText(trace.duration_ns)}, profile ${profile}, by: ${escapeText(trace.command.join(' '))}`,
    ...devices.map(
      ({ object, bdf, vendor, device, well_behaved }) =>
        `  ${object} ${escapeText(bdf)} ${hex4(vendor)}:${hex4(device)}, MSI-X layout well-behaved: ${well_behaved}`,
    ),
    ...trace.gaps.map((gap) => `  incomplete: ${escapeText(gap)}`),
    `  ${rulesText(report.rules)}`,
  ];
  const findings = report.findings.filter(({ state }) => state !== 'waived').map(findingText);
  const unknown = report.rules.filter(({ status }) => status === 'unknown').map(unknownText);
  return [
    lines.join('\n'),
    ...findings,
    ...(unknown.length === 0 ? [] : [['could not be decided:', ...unknown].join('\n')]),
  ].join('\n\n');
}

function findingText(finding: ReportedFinding): string {
  const { severity, rule, object, bdf, message, count, evidence, compliant, state } = finding;
  const where = [object, escapeText(bdf)].filter((text) => text !== '').join(' ');
  const times = count === 1 ? '' : ` (${count} times)`;
  const known = state === 'known' ? ', known before' : '';
  const lines = [
    `${severity} ${rule}  ${where === '' ? '' : `${where}: `}${escapeText(message)}${times}${known}`,
  ];
  for (const { event, time_ns, text, note, site } of evidence) {
    const place = site === undefined ? '' : ` @${site}`;
    lines.push(
      `  ${String(event).padStart(7)}  ${timeText(time_ns).padStart(TIME_WIDTH)}  ${escapeText(text)}${escapeText(place)}`,
    );
    lines.push(`  ${' '.repeat(7 + TIME_WIDTH + 4)}^ ${escapeText(note)}`);
  }
  lines.push(`  do: ${compliant}`);
  return lines.join('\n');
}

function unknownText({ id, title, reasons }: ReportedRule): string {
  return `  ${id}  ${title}\n           ${reasons.map((reason) => escapeText(reason)).join('; ')}`;
}

export function hex4(number: number): string {
  return number.toString(16).padStart(4, '0');
}
