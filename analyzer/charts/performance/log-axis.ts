// SPDX-License-Identifier: Apache-2.0
import type { Canvas, Plot } from '../frame/canvas.js';
import { timeSpanText } from '../frame/units.js';

/** Times from `least` to `most` ns, in whole powers of ten. */
export interface LogScale {
  (ns: number): number;
  readonly decades: readonly number[];
}

export function logScale(least: number, most: number, from: number, to: number): LogScale {
  const low = Math.floor(Math.log10(Math.max(1, least)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, most))));
  const place = (ns: number): number =>
    from + ((Math.log10(Math.max(1, ns)) - low) / (high - low)) * (to - from);
  const decades = Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n));
  return Object.assign(place, { decades });
}

export function logBottomAxis(
  {
    decades,
    ...rest
  }: { readonly decades: readonly number[]; readonly scale: LogScale; readonly label: string },
  plot: Plot,
): void {
  const { scale, label } = rest;
  const axis = plot.layer.append('g').attr('class', 'axis').attr('transform', `translate(0,${plot.height})`);
  axis.append('line').attr('x2', plot.width);
  for (const decade of decades) {
    axis.append('line').attr('x1', scale(decade)).attr('x2', scale(decade)).attr('y2', 5);
    axis
      .append('text')
      .attr('x', scale(decade))
      .attr('y', 17)
      .attr('text-anchor', 'middle')
      .text(timeSpanText(decade));
  }
  axis
    .append('text')
    .attr('class', 'muted')
    .attr('x', plot.width)
    .attr('y', 34)
    .attr('text-anchor', 'end')
    .text(label);
}

export function logLeftAxis(_canvas: Canvas, plot: Plot, scale: LogScale, label: string): void {
  const grid = plot.layer.append('g').attr('class', 'grid');
  const axis = plot.layer.append('g').attr('class', 'axis');
  for (const decade of scale.decades) {
    grid.append('line').attr('x2', plot.width).attr('y1', scale(decade)).attr('y2', scale(decade));
    axis
      .append('text')
      .attr('x', -8)
      .attr('y', scale(decade) + 4)
      .attr('text-anchor', 'end')
      .text(timeSpanText(decade));
  }
  axis.append('text').attr('class', 'muted').attr('x', 0).attr('y', -10).text(label);
}
