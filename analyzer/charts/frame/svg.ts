// SPDX-License-Identifier: Apache-2.0
import { D3Node } from 'd3-node';
import { escapeText } from '../../../abi/text.js';
import type { Chart } from '../chart.js';
import type { Layer } from './canvas.js';
import { heading } from './heading.js';
import { chartStyles } from './theme.js';

let shared: D3Node | undefined;

/**
 * `page`: to be set into a page that has the styles; `file`: a file of its own, in the reader's scheme; `image`: the
 * same in the light, for what understands no media queries.
 */
export type SvgUse = 'page' | 'file' | 'image';

/** Well-formed XML; everything that came from a trace is text in it. */
export function renderSvg(chart: Chart, width: number, use: SvgUse): string {
  // One document for all charts: it takes longer to make than a chart.
  shared ??= new D3Node();
  const above = use === 'page' ? undefined : heading(chart, width);
  const height = chart.height + (above?.height ?? 0);
  const names = { title: `${chart.id}-${width}-title`, summary: `${chart.id}-${width}-summary` };
  const svg = shared.createSVG(width, height, {
    class: 'chart',
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'aria-labelledby': `${names.title} ${names.summary}`,
  });
  svg.append('title').attr('id', names.title).text(chart.title);
  svg.append('desc').attr('id', names.summary).text(chart.summary);
  if (use !== 'page') {
    svg.append('style').text(chartStyles(use === 'image' ? 'light' : 'both'));
    svg.append('rect').attr('class', 'paper').attr('width', width).attr('height', height);
  }
  const root: Layer = svg.append('g');
  if (above !== undefined) {
    above.draw(svg.append('g'));
    root.attr('transform', `translate(0,${above.height})`);
  }
  chart.draw({ d3: shared.d3, root, width, height: chart.height });
  // No control characters, nor half of a surrogate pair: XML has no way to write them.
  svg.selectAll<SVGElement, unknown>('text,tspan,title,desc').each(function () {
    if (this.children.length === 0) this.textContent = escapeText(this.textContent ?? '');
  });
  const xml = new shared.window.XMLSerializer().serializeToString(svg.node());
  svg.remove();
  return xml;
}
