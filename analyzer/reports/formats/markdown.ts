// SPDX-License-Identifier: Apache-2.0
/** For a pull request's comment or a wiki (GitHub's Markdown). */
import { escapeText } from '../../../abi/text.js';
import { timeText } from '../../../session/describe/time.js';
import type { ComplianceReport, ReportedFinding, TraceReport } from '../model.js';
import { hex4, rulesText, summaryText } from './text.js';

export function renderMarkdown(report: ComplianceReport): string {
  const parts = [
    `# VFIO compliance: ${report.verdict === 'pass' ? '✅ pass' : '❌ fail'}`,
    ...report.reports.map(traceMarkdown),
    ...report.remarks.map((remark) => `> ${inline(remark)}`),
    `<sub>${inline(report.tool)}, fails on: ${report.fail_on}</sub>`,
  ];
  return `${parts.join('\n\n')}\n`;
}

function traceMarkdown(report: TraceReport): string {
  const { trace, devices, findings, rules } = report;
  const parts = [
    `## ${inline(trace.file)}`,
    `${summaryText(report)}. ${rulesText(rules)}.`,
    table(
      ['device', 'id', 'kernel driver', 'MSI-X layout well-behaved'],
      devices.map(({ object, bdf, vendor, device, kernel_driver, well_behaved }) => [
        `${object} ${bdf}`,
        `${hex4(vendor)}:${hex4(device)}`,
        kernel_driver,
        well_behaved,
      ]),
    ),
    ...trace.gaps.map((gap) => `> **Incomplete:** ${inline(gap)}`),
  ];
  const shown = findings.filter(({ state }) => state !== 'waived');
  if (shown.length > 0) {
    parts.push(
      table(
        ['', 'rule', 'where', 'finding', 'times'],
        shown.map(({ severity, rule, object, bdf, message, count, state }) => [
          state === 'known' ? `${severity}, known` : severity,
          rule,
          `${object} ${bdf}`.trim(),
          message,
          String(count),
        ]),
      ),
      ...shown.map(findingMarkdown),
    );
  }
  const unknown = rules.filter(({ status }) => status === 'unknown');
  if (unknown.length > 0) {
    parts.push(
      '### Could not be decided',
      table(
        ['rule', 'title', 'why'],
        unknown.map(({ id, title, reasons }) => [id, title, reasons.join('; ')]),
      ),
    );
  }
  return parts.join('\n\n');
}

function findingMarkdown({ rule, title, severity, message, evidence, compliant }: ReportedFinding): string {
  const lines = evidence.map(({ event, time_ns, text, note, site }) => {
    const place = site === undefined ? '' : ` @${site}`;
    return `${String(event).padStart(7)}  ${timeText(time_ns)}  ${escapeText(`${text}${place}`)}\n         ^ ${escapeText(note)}`;
  });
  return [
    `<details><summary>${severity} ${rule}: ${inline(title)}</summary>`,
    inline(message),
    fenced(lines.join('\n')),
    `Compliant: ${inline(compliant)}`,
    '</details>',
  ].join('\n\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(inline).join(' | ')} |`;
  return [line(head), `| ${head.map(() => '---').join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** Nothing from a trace may become markup, or end a table's cell. */
function inline(text: string): string {
  return escapeText(text)
    .replace(/[\r\n]+/g, ' ')
    .replace(/[\\`*_[\]<>|#~&]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A fence longer than any in the text. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${text}\n${fence}`;
}
