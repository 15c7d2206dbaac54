// SPDX-License-Identifier: Apache-2.0
import type { RuleStatus } from '../../check/finding.js';
import { ruleSections } from '../../rules/explain.js';
import { findRule } from '../../rules/rules.js';
import type { ReportedFinding, ReportedRule } from '../model.js';
import { html, type Markup } from './markup.js';

interface Group {
  readonly status: RuleStatus;
  readonly title: string;
  readonly badge: string;
  /** Printed unfolded. */
  readonly printed?: true;
  /** Folded: what one need not read. */
  readonly folded?: true;
}

const GROUPS: readonly Group[] = [
  { status: 'fail', title: 'Failed, with errors or warnings', badge: 'fail', printed: true },
  { status: 'note', title: 'Passed, with notes', badge: 'note', printed: true },
  { status: 'unknown', title: 'Unknown: an input was missing', badge: 'unknown', printed: true },
  { status: 'pass', title: 'Passed', badge: 'pass' },
  {
    status: 'not applicable',
    title: 'Not applicable: the session has nothing that they are about',
    badge: 'quiet',
    folded: true,
  },
  { status: 'undecidable', title: 'Not decidable from a recording', badge: 'quiet', folded: true },
  { status: 'off', title: 'Off in this profile', badge: 'quiet', folded: true },
];

export function rules(
  list: readonly ReportedRule[],
  found: readonly ReportedFinding[],
  prefix: string,
): Markup {
  return html`${GROUPS.map((group) => {
    const members = list.filter(({ status }) => status === group.status);
    if (members.length === 0) return undefined;
    const body = members.map((rule) => entry(rule, group, found, prefix));
    const title = `${group.title} (${members.length})`;
    return group.folded === true
      ? html`<details class="card"><summary>${title}</summary><div>${body}</div></details>`
      : html`<h3>${title}</h3>\n${body}`;
  })}`;
}

function entry(
  { id, title, status, reasons, suppressed }: ReportedRule,
  { badge, printed }: Group,
  found: readonly ReportedFinding[],
  prefix: string,
): Markup {
  const rule = findRule(id);
  const own = found.filter((finding) => finding.rule === id);
  return html`<details class="${printed === true ? 'rule print' : 'rule'}" id="${prefix}${id}">
<summary><span class="badge ${badge}">${status}</span><span class="id">${id}</span>${title}</summary>
<div>
${reasons.length === 0 ? undefined : html`<p><b>Why ${status}:</b> ${reasons.join('; ')}</p>`}
${own.length === 0 ? undefined : html`<p>Findings: ${own.map(({ fingerprint, message }, i) => html`${i === 0 ? '' : '; '}<a href="#${prefix}${fingerprint}">${message}</a>`)}</p>`}
${suppressed === 0 ? undefined : html`<p>${suppressed} more different findings were only counted.</p>`}
${rule === undefined ? undefined : html`<dl>${ruleSections(rule).map(([heading, text]) => html`<dt>${heading}</dt><dd>${lines(text)}</dd>`)}</dl>`}
</div>
</details>
`;
}

function lines(text: string): readonly Markup[] {
  return text.split('\n').map((line) => html`<div>${line.replace(/^- /, '')}</div>`);
}
