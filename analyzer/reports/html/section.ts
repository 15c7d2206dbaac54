// SPDX-License-Identifier: Apache-2.0
/** A section of charts and tables as a part of the page. Apart from the rest, since it needs d3. */
import type { Chart, ReportSection } from '../../charts/chart.js';
import { WIDTHS } from '../../charts/frame/canvas.js';
import { renderSvg } from '../../charts/frame/svg.js';
import type { PageSection } from '../formats/html.js';
import { html, Markup } from './markup.js';
import { table } from './table.js';

export function sectionOf({ id, title, text, tables, charts }: ReportSection): PageSection {
  return {
    id,
    title,
    body: html`${text.map((paragraph) => html`<p>${paragraph}</p>`)}
${charts.map(figure)}
${tables.map((one) => html`<h3>${one.title}</h3>${table(one)}`)}`,
  };
}

function figure(chart: Chart): Markup {
  const picture = (width: keyof typeof WIDTHS) =>
    html`<div class="${width}">${Markup.trusted(renderSvg(chart, WIDTHS[width], 'page'))}</div>`;
  return html`<figure id="chart-${chart.id}">
<figcaption>${chart.title}</figcaption>
<p class="muted">${chart.summary}</p>
${picture('wide')}
${picture('narrow')}
<details class="figures-of"><summary>The figures</summary>${table(chart.table)}</details>
</figure>
`;
}
