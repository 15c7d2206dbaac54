// SPDX-License-Identifier: Apache-2.0
/** One self-contained file for a person: the verdict first, then what it stands on. */
import { countText } from '../../../abi/text.js';
import { durationText } from '../../../session/describe/time.js';
import { device } from '../html/devices.js';
import { findings } from '../html/findings.js';
import { html, type Markup } from '../html/markup.js';
import { page } from '../html/page.js';
import { recording } from '../html/recording.js';
import { rules } from '../html/rules.js';
import type { ComplianceReport, TraceReport } from '../model.js';

/** What a report has beside the rules. */
export interface PageSection {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

/** `sections`: of each trace, in the order of the report's. */
export function renderHtml(
  report: ComplianceReport,
  sections: readonly (readonly PageSection[])[] = [],
): string {
  const several = report.reports.length > 1;
  const body = html`<header>
<h1>VFIO compliance report</h1>
${verdict(report)}
${report.remarks.length === 0 ? undefined : html`<ul>${report.remarks.map((remark) => html`<li>${remark}</li>`)}</ul>`}
${several ? contents(report.reports) : undefined}
</header>
${report.reports.map((trace, i) => traceParts(trace, several ? `t${i + 1}-` : '', sections[i] ?? [], several))}
<footer><p class="muted small">Made by ${report.tool}.</p></footer>`;
  const [first] = report.reports;
  const name = several || first === undefined ? `${report.reports.length} traces` : first.trace.file;
  return page(`${report.verdict === 'pass' ? 'Pass' : 'Fail'}: ${name}`, body, {
    charts: sections.some((list) => list.length > 0),
  });
}

function verdict({ verdict, fail_on, reports }: ComplianceReport): Markup {
  const sum = (of: (trace: TraceReport) => number) => reports.reduce((total, trace) => total + of(trace), 0);
  const parts = [
    countText(
      sum(({ counts }) => counts.error),
      'error',
    ),
    countText(
      sum(({ counts }) => counts.warning),
      'warning',
    ),
    countText(
      sum(({ counts }) => counts.note),
      'note',
    ),
  ];
  const forgiven = [
    [sum(({ known }) => known), 'known before'],
    [sum(({ waived }) => waived), 'waived'],
  ] as const;
  const rest = forgiven.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const limit =
    fail_on === 'never'
      ? 'No finding fails it.'
      : `A finding that is ${fail_on === 'error' ? 'an error' : `a ${fail_on} or worse`} fails it.`;
  return html`<div class="verdict ${verdict}"><span class="word">${verdict.toUpperCase()}</span>
<span class="why">${[...parts, ...rest].join(', ')}. ${limit}</span></div>`;
}

function contents(reports: readonly TraceReport[]): Markup {
  return html`<nav aria-label="traces"><ol>${reports.map(
    ({ trace, counts }, i) =>
      html`<li><a href="#t${i + 1}">${trace.file}</a>: ${countText(counts.error, 'error')}, ${countText(counts.warning, 'warning')}</li>`,
  )}</ol></nav>`;
}

function traceParts(
  report: TraceReport,
  prefix: string,
  sections: readonly PageSection[],
  several: boolean,
): Markup {
  const { trace, devices } = report;
  const parts: readonly PageSection[] = [
    { id: 'findings', title: 'Findings', body: findings(report.findings, prefix) },
    {
      id: 'device',
      title: devices.length === 1 ? 'The device' : 'The devices',
      body:
        devices.length === 0
          ? html`<p>No device was opened.</p>`
          : html`${devices.map((one) => device(one, report.findings))}`,
    },
    ...sections,
    { id: 'rules', title: 'Rules', body: rules(report.rules, report.findings, prefix) },
    { id: 'recording', title: 'What was recorded', body: recording(report) },
  ];
  return html`<section id="${several ? prefix.slice(0, -1) : 'report'}">
${several ? html`<h2>${trace.file}</h2>` : undefined}
${head(report)}
<nav aria-label="parts"><ul>${parts.map(({ id, title }) => html`<li><a href="#${prefix}${id}">${title}</a></li>`)}</ul></nav>
${parts.map(({ id, title, body }) => html`<h2 id="${prefix}${id}">${title}</h2>\n${body}\n`)}
</section>`;
}

function head({ trace, rules: list, devices, profile }: TraceReport): Markup {
  const count = (status: string) => list.filter((rule) => rule.status === status).length;
  const figures: readonly (readonly [number, string])[] = [
    [count('fail'), 'rules with errors or warnings'],
    [count('note'), 'with notes only'],
    [count('unknown'), 'unknown'],
    [count('pass'), 'passed'],
    [count('not applicable'), 'not applicable'],
  ];
  const which = devices.map(
    ({ object, bdf, well_behaved }) => `${object} ${bdf} (MSI-X layout well-behaved: ${well_behaved})`,
  );
  return html`<p><code>${trace.command.join(' ')}</code></p>
<p class="muted">${trace.file}: ${trace.events.toLocaleString('en-US')} events in ${durationText(trace.duration_ns)}, profile ${profile}${which.length === 0 ? '' : `; ${which.join(', ')}`}${trace.gaps.length === 0 ? '' : '; the recording is incomplete, see below'}.</p>
<ul class="figures">${figures.map(([number, what]) => html`<li><b>${number}</b>${what}</li>`)}</ul>`;
}
