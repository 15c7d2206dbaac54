// SPDX-License-Identifier: Apache-2.0
import type { DataTable } from '../../charts/chart.js';
import { html, type Markup } from './markup.js';

export function table({ columns, rows, rest }: DataTable): Markup {
  const cell = (text: string, i: number) =>
    columns[i]?.numeric === true ? html`<td class="number">${text}</td>` : html`<td>${text}</td>`;
  return html`<div class="scroll"><table>
<thead><tr>${columns.map(({ name, numeric }) => (numeric === true ? html`<th class="number">${name}</th>` : html`<th>${name}</th>`))}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${row.map(cell)}</tr>\n`)}</tbody>
</table></div>${rest === undefined ? undefined : html`<p class="muted small">${rest}</p>`}`;
}

/** Name and value, one below the other. */
export function list(
  entries: readonly (readonly [name: string, value: Markup | string | undefined])[],
): Markup {
  return html`<dl>${entries.map(([name, value]) => (value === undefined || value === '' ? undefined : html`<dt>${name}</dt><dd>${value}</dd>`))}</dl>`;
}
