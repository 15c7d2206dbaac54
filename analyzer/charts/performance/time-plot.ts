// SPDX-License-Identifier: Apache-2.0
/** What the charts over time have in common: the axis, rows of cells, and the band of what is not to be trusted. */
import type { ScaleLinear } from 'd3';
import { bottomAxis } from '../frame/axes.js';
import type { Canvas, Layer, Plot } from '../frame/canvas.js';
import type { LegendEntry } from '../frame/legend.js';
import { countText, timeUnit } from '../frame/units.js';
import { type Activity, BINS } from './activity.js';

export const STEPS = 8;
const OVERLAP = 0.3;

export function timeScale(canvas: Canvas, plot: Plot, { from, to }: Activity): ScaleLinear<number, number> {
  return canvas.d3.scaleLinear().domain([from, to]).range([0, plot.width]);
}

export function timeAxis(
  canvas: Canvas,
  plot: Plot,
  { to }: Activity,
  scale: ScaleLinear<number, number>,
): void {
  bottomAxis(canvas.d3, plot, scale, { unit: timeUnit(to), label: 'time since the start' });
}

/** What the colours of cells stand for: every other step, by the most that it has. `what`: is counted. */
export function cellLegend(most: number, what: string): readonly LegendEntry[] {
  const upTo = (step: number): number => Math.floor(Math.expm1((step / STEPS) * Math.log1p(most)));
  const entries: LegendEntry[] = [{ mark: 'h0', text: 'none' }];
  let before = 0;
  for (let step = 2; step <= STEPS; step += 2) {
    const count = step === STEPS ? most : upTo(step);
    if (count > before)
      entries.push({
        mark: `h${step}`,
        text: `up to ${countText(count)}${step === STEPS ? ` ${what}` : ''}`,
      });
    before = Math.max(before, count);
  }
  return entries;
}

/** One row of cells, darker where there was more; `most` of one bin is the darkest. */
export function cells(
  { marks, width: across }: { readonly marks: Layer; readonly width: number },
  row: {
    readonly bins: Float64Array;
    readonly y: number;
    readonly height: number;
    readonly name: string;
    /** What is counted: `events`. */
    readonly unit: string;
  },
  most: number,
): void {
  const width = across / BINS;
  row.bins.forEach((count, bin) => {
    if (count === 0) return;
    const step = Math.max(1, Math.ceil((STEPS * Math.log1p(count)) / Math.log1p(most)));
    marks
      .append('rect')
      .attr('class', `h${Math.min(STEPS, step)}`)
      .attr('x', bin * width)
      .attr('y', row.y)
      // Beyond its end: edges are at whole pixels, each rounded by itself, and nothing may shine through between two.
      .attr('width', Math.max(width + OVERLAP, 1))
      .attr('height', row.height)
      .append('title')
      .text(`${row.name}: ${countText(count)} ${row.unit}`);
  });
}

/** Below the plot's upper edge: where timings are mostly the recorder's. */
export function doubtBand(marks: Layer, across: number, { doubtful }: Activity): void {
  const width = across / BINS;
  doubtful.forEach((count, bin) => {
    if (count === 0) return;
    marks
      .append('rect')
      .attr('class', 'bad')
      .attr('x', bin * width)
      .attr('y', -6)
      .attr('width', Math.max(width, 1))
      .attr('height', 4)
      .append('title')
      .text(`${countText(count, 'event')} whose timing is the recorder's: don't trust it`);
  });
}

/** For a summary. */
export function doubtText({ doubtful }: Activity): string {
  const count = doubtful.reduce((sum, one) => sum + one, 0);
  return count === 0
    ? ''
    : ` Red marks at the top: ${countText(count, 'event')} (accesses that were not patched, losses) whose timing is the recorder's: don't trust it.`;
}
