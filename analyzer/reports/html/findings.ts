// SPDX-License-Identifier: Apache-2.0
import { durationText } from '../../../session/describe/time.js';
import type { ReportedEvent, ReportedFinding } from '../model.js';
import { html, type Markup } from './markup.js';

/** So many of one rule, and milder than errors, are folded into one. */
const MANY = 4;

/** New ones first; errors are unfolded. */
export function findings(list: readonly ReportedFinding[], prefix: string): Markup {
  if (list.length === 0) return html`<p>No finding.</p>`;
  const rank = { new: 0, known: 1, waived: 2 } as const;
  const sorted = [...list].sort((a, b) => rank[a.state] - rank[b.state]);
  return html`${alike(sorted).map((group) =>
    group.length < MANY ? group.map((finding) => card(finding, prefix)) : folded(group, prefix),
  )}`;
}

/** Neighbours of one rule and one severity; each error is alone. */
function alike(list: readonly ReportedFinding[]): readonly (readonly ReportedFinding[])[] {
  const groups: ReportedFinding[][] = [];
  for (const finding of list) {
    const [last] = groups.at(-1) ?? [];
    const same =
      last !== undefined &&
      finding.severity !== 'error' &&
      last.rule === finding.rule &&
      last.severity === finding.severity &&
      last.state === finding.state;
    if (same) groups.at(-1)?.push(finding);
    else groups.push([finding]);
  }
  return groups;
}

function folded(group: readonly ReportedFinding[], prefix: string): Markup {
  const [{ rule, title, severity, state }] = group as [ReportedFinding];
  return html`<details class="card print">
<summary><span class="badge ${state === 'new' ? severity : 'quiet'}">${severity}</span><span class="id">${rule}</span>${title}: <b>${group.length.toLocaleString('en-US')} findings</b></summary>
<div>
${group.map((finding) => card(finding, prefix))}
</div>
</details>
`;
}

function card(finding: ReportedFinding, prefix: string): Markup {
  const { rule, title, severity, object, bdf, message, count, compliant, fingerprint, evidence, state } =
    finding;
  const where = [object, bdf].filter((text) => text !== '').join(' ');
  const badge = state === 'new' ? severity : 'quiet';
  const open = state === 'new' && severity === 'error' ? html` open` : undefined;
  return html`<details class="card print" id="${prefix}${fingerprint}"${open}>
<summary><span class="badge ${badge}">${severity}</span><span class="id">${rule}</span>${where === '' ? undefined : html`<span class="muted">${where}</span> `}${message}${count === 1 ? undefined : html` <b>(${count.toLocaleString('en-US')} times)</b>`}${stateNote(finding)}</summary>
<div>
<p><a href="#${prefix}${rule}">${rule}</a>: ${title}.</p>
<ol class="evidence">${evidence.map(event)}</ol>
${count > evidence.length && count > 1 ? html`<p class="muted small">The evidence is of the first times that it was seen.</p>` : undefined}
<p><b>A compliant driver:</b> ${compliant}</p>
<p class="muted small">fingerprint <code>${fingerprint}</code></p>
</div>
</details>
`;
}

function stateNote({ state, waived_because }: ReportedFinding): Markup | undefined {
  switch (state) {
    case 'new':
      return undefined;
    case 'known':
      return html` <span class="muted">(known before: it is in the baseline)</span>`;
    case 'waived':
      return html` <span class="muted">(waived: ${waived_because})</span>`;
  }
}

function event({ event, note, time_ns, text, site, source }: ReportedEvent): Markup {
  const place = source === undefined ? site : `${site ?? ''}  ${source.file}:${source.line}`.trim();
  return html`<li><span class="muted small">event ${event} at ${durationText(time_ns)}: </span>${note}
<code class="text">${text}</code>
${place === undefined ? undefined : html`<code class="text muted">at ${place}</code>`}</li>
`;
}
