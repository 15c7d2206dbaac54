// SPDX-License-Identifier: Apache-2.0
import type { Canvas, Plot } from '../frame/canvas.js';
import { describeAxis } from '../frame/marks.js';
import { timeSpanText } from '../frame/units.js';

/** Times from `least` to `most` ns, in whole powers of ten. */
export interface LogScale {
  (ns: number): number;
  /** ns at a place. */
  at(place: number): number;
  readonly decades: readonly number[];
}

export function logScale(least: number, most: number, from: number, to: number): LogScale {
  const low = Math.floor(Math.log10(Math.max(1, least)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, most))));
  const place = (ns: number): number =>
    from + ((Math.log10(Math.max(1, ns)) - low) / (high - low)) * (to - from);
  const decades = Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n));
  const at = (where: number): number => 10 ** (low + ((where - from) / (to - from)) * (high - low));
  return Object.assign(place, { at, decades });
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
  const [from = 1, to = 10] = [decades[0], decades.at(-1)];
  describeAxis(axis, { width: plot.width, from, to, unit: 'log' });
  for (const decade of decades) {
    const tick = axis
      .append('g')
      .attr('class', 'tick')
      .attr('transform', `translate(${scale(decade)},0)`);
    tick.append('line').attr('y2', 5);
    tick.append('text').attr('y', 17).attr('text-anchor', 'middle').text(timeSpanText(decade));
  }
  axis
    .append('text')
    .attr('class', 'muted')
    .attr('x', plot.width)
    .attr('y', 34)
    .attr('text-anchor', 'end')
    .text(label);
}

/** Powers of ten; two and five times them, too, where there are few. */
function gridOf({ decades }: LogScale): readonly number[] {
  if (decades.length > 3) return decades;
  const most = decades.at(-1) ?? 1;
  return decades.flatMap((decade) => [decade, 2 * decade, 5 * decade]).filter((one) => one <= most);
}

export function logLeftAxis(_canvas: Canvas, plot: Plot, scale: LogScale, label: string): void {
  const grid = plot.layer.append('g').attr('class', 'grid');
  const axis = plot.layer.append('g').attr('class', 'axis');
  for (const time of gridOf(scale)) {
    grid.append('line').attr('x2', plot.width).attr('y1', scale(time)).attr('y2', scale(time));
    axis
      .append('text')
      .attr('x', -8)
      .attr('y', scale(time) + 4)
      .attr('text-anchor', 'end')
      .text(timeSpanText(time));
  }
  axis.append('text').attr('class', 'muted').attr('x', 0).attr('y', -10).text(label);
}
